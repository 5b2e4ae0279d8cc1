/** What no line of a group, of members or of a port speaks of, of what changes in iptables and ipset. */
import {
  IPTABLES_HOOKS,
  isNamedAfter,
  printIptablesRule,
  readChainName,
  readMemberSetName,
  type ChainChange,
  type IptablesChange,
  type IptablesRule,
  type SetChange,
} from '../../../compiler/index.js';
import { portChainNames, readDeviceRule, SETS_OF_PORTS } from '../../../compiler/listing.js';
import type { LongNames } from './iptables-side.js';
import type { PlanLine } from './line.js';
import { namedLine } from './rest.js';

/** @param lines those that were said already. */
export function iptablesRest(
  changes: readonly IptablesChange[],
  lines: readonly PlanLine[],
  long: LongNames,
): readonly PlanLine[] {
  const spoken = new Spoken(lines, long);
  const unspoken = changes.filter((change) =>
    change.kind === 'chain' ? !spoken.isChain(change) : !spoken.isSet(change),
  );
  return namedLine('iptables', unspoken.map(nameOf));
}

class Spoken {
  readonly #ports: ReadonlySet<string>;
  readonly #portChains: ReadonlySet<string>;
  readonly #hasGroups: boolean;

  constructor(
    private readonly lines: readonly PlanLine[],
    private readonly long: LongNames,
  ) {
    this.#ports = new Set(lines.filter(({ kind }) => kind === 'port').map(({ subject }) => subject));
    this.#portChains = new Set([...this.#ports].flatMap(portChainNames));
    this.#hasGroups = lines.some(({ kind }) => kind === 'group');
  }

  isSet(change: SetChange): boolean {
    const loaded = 'set' in change ? change.set.name : change.name;
    const name = this.long.of(loaded);
    if (this.#isOfGroup(name)) return true;
    if (readMemberSetName(name) !== undefined) return this.#hasGroups;
    return SETS_OF_PORTS.has(loaded) && this.#ports.size > 0;
  }

  isChain(change: ChainChange): boolean {
    const name = this.long.of(change.name);
    if (this.#isOfGroup(name) || this.#portChains.has(change.name)) return true;
    if (readChainName(name)?.kind === 'profile')
      return this.#ports.size > 0 && (change.before === undefined || change.after === undefined);
    if (IPTABLES_HOOKS.has(change.name) || change.overtaking !== undefined) return false;
    const different = rulesOfOne(change.before ?? [], change.after ?? []);
    return different.length > 0 && different.every((rule) => this.#isOfPort(rule));
  }

  #isOfGroup(name: string): boolean {
    return this.lines.some(({ kind, subject }) => kind !== 'port' && subject !== '' && isNamedAfter(name, subject));
  }

  /** It asks for the device of a port that is spoken of; or for how some devices begin, as the tree does that they are in. */
  #isOfPort(rule: IptablesRule): boolean {
    if (rule.target?.kind === 'notrack') return this.#ports.size > 0;
    const device = readDeviceRule({ ...rule, source: undefined })?.device;
    if (device === undefined) return false;
    if (!device.endsWith('+')) return this.#ports.has(device);
    return [...this.#ports].some((port) => port.startsWith(device.slice(0, -1)));
  }
}

/** Rules that one of both has, and the other has not. */
function rulesOfOne(one: readonly IptablesRule[], other: readonly IptablesRule[]): readonly IptablesRule[] {
  return [...rulesBut(other, one), ...rulesBut(one, other)];
}

function rulesBut(others: readonly IptablesRule[], rules: readonly IptablesRule[]): readonly IptablesRule[] {
  const texts = new Set(others.map(printIptablesRule));
  return rules.filter((rule) => !texts.has(printIptablesRule(rule)));
}

function nameOf(change: IptablesChange): string {
  switch (change.kind) {
    case 'chain':
      return `chain ${change.name}`;
    case 'create-set':
    case 'remake-set':
    case 'replace-set':
      return `set ${change.set.name}`;
    case 'change-set':
    case 'destroy-set':
      return `set ${change.name}`;
  }
}
