/** What is loaded, from the listings of iptables-save(8) and `ipset save`: our chains, the jumps to them, our sets. */
import { parseAddress, parsePrefix, type Family } from '../model/index.js';
import { isOurs, OF_THE_KERNEL } from './names.js';
import { readRule } from './read-rule.js';
import { jumpOfAll, type IptablesRule } from './rule.js';
import { printRule, printTarget } from './rule-text.js';
import type { FamilyTables, IpSet, IptablesChain } from './types.js';
import { readRawZones } from './zones.js';

/** Rules as they are listed, by chain. */
type ListedTable = ReadonlyMap<string, readonly string[]>;

/** Chains and jumps of ours in either table; of what others have there only what stands before our jumps. */
export function readIptables(listing: string): FamilyTables {
  const tables = { raw: new Map<string, string[]>(), mangle: new Map<string, string[]>() };
  let table: Map<string, string[]> | undefined;
  for (const line of listing.split('\n')) {
    if (line.startsWith('*'))
      table = line === '*raw' || line === '*mangle' ? tables[line.slice(1) as 'raw'] : undefined;
    if (table === undefined) continue;
    if (line.startsWith(':')) table.set(line.slice(1, line.indexOf(' ')), []);
    const [, chain, rule] = /^-A (\S+) (.*)$/.exec(line) ?? [];
    if (chain === undefined || rule === undefined) continue;
    table.get(chain)?.push(rule.trimEnd());
  }
  const raw = ownChains(tables.raw);
  return { zones: readRawZones(raw), raw, mangle: ownChains(tables.mangle) };
}

/**
 * A chain of ours as it is listed. There may be some 100 000 rules, and of most of them nobody asks more than whether they are those that
 * are wanted: that is compared as text, and a chain's rules are read when somebody asks for them.
 */
export class ListedChain implements IptablesChain {
  #rules: readonly IptablesRule[] | undefined;
  readonly #listed: readonly string[];

  constructor(
    readonly name: string,
    listed: readonly string[],
  ) {
    this.#listed = listed;
  }

  get rules(): readonly IptablesRule[] {
    this.#rules ??= this.#listed.map(readRule);
    return this.#rules;
  }

  /** True where it is listed as a chain of these rules is. */
  holds(rules: readonly IptablesRule[]): boolean {
    return (
      rules.length === this.#listed.length && rules.every((rule, index) => isListedAs(rule, this.#listed[index] ?? ''))
    );
  }
}

function isListedAs(rule: IptablesRule, listed: string): boolean {
  const printed = printRule(rule);
  // A protocol may be listed by its name.
  return printed === listed || printed === printRule(readRule(listed));
}

function ownChains(table: ListedTable): readonly IptablesChain[] {
  return [...table].flatMap(([name, listed]): readonly IptablesChain[] => {
    if (isOurs(name)) return [new ListedChain(name, listed)];
    const rules = listed.map((text) => ({ text, rule: readRule(text) }));
    const jumps = rules.filter(({ rule }) => isOwnJump(rule)).map(({ rule }) => rule);
    if (jumps.length === 0) return [];
    // A chain of somebody else's stays theirs, less its jumps to ours.
    if (!OF_THE_KERNEL.has(name)) return [{ name, rules: jumps }];
    const overtaking = rules
      .slice(
        0,
        rules.findLastIndex(({ rule }) => isOwnJump(rule)),
      )
      .filter(({ rule }) => !isOwnJump(rule))
      .map(({ text, rule }) => ({ text, isTerminal: isTerminal(rule, table, new Set([name])) }));
    return [{ name, rules: jumps, ...(overtaking.length === 0 ? {} : { overtaking }) }];
  });
}

function isOwnJump(rule: IptablesRule): boolean {
  const chain = jumpOfAll(rule);
  return chain !== undefined && isOurs(chain);
}

/** Targets behind which a packet goes on with the next rule (iptables-extensions(8)); of any other it is not known. */
const GOES_ON = new Set(
  (
    'AUDIT CHECKSUM CLASSIFY CONNMARK CONNSECMARK CT DSCP ECN HL HMARK IDLETIMER LED LOG MARK NFLOG NOTRACK RATEEST SECMARK SET ' +
    'TCPMSS TCPOPTSTRIP TEE TOS TRACE TTL ULOG'
  ).split(' '),
);

/** True when a packet may end at a rule, or in a chain that it leads to. */
function isTerminal({ target }: IptablesRule, table: ListedTable, seen: Set<string>): boolean {
  switch (target?.kind) {
    // It only counts.
    case undefined:
      return false;
    case 'verdict':
      return true;
    case 'zone':
    case 'notrack':
    case 'mark':
    case 'connmark':
      return false;
    case 'other':
      return !GOES_ON.has(target.text.split(' ')[1] ?? '');
    case 'jump':
    case 'goto': {
      const chain = table.get(target.chain);
      if (GOES_ON.has(target.chain)) return false;
      if (chain === undefined) return true;
      if (seen.has(target.chain)) return false;
      seen.add(target.chain);
      if (target.kind === 'goto') return true;
      return chain.map(readRule).some((rule) => !returns(rule) && isTerminal(rule, table, seen));
    }
  }
}

/** What returns from a chain that was jumped to goes on behind it. */
function returns({ target }: IptablesRule): boolean {
  return target?.kind === 'verdict' && target.verdict === 'RETURN';
}

/** A rule of a chain of ours, and what it has counted. */
export interface CountedRule {
  readonly chain: string;
  readonly rule: IptablesRule;
  /** What it asks of a packet, as it is listed. */
  readonly asked: string;
  readonly packets: number;
  readonly bytes: number;
}

/** Rules in chains of ours, of what `iptables-save -c` said. */
export function readCountedRules(listing: string): readonly CountedRule[] {
  return listing.split('\n').flatMap((line): readonly CountedRule[] => {
    const [, packets, bytes, chain = '', listed = ''] = /^\[(\d+):(\d+)\] -A (\S+) (.*)$/.exec(line) ?? [];
    if (!isOurs(chain)) return [];
    const rule = readRule(listed);
    const asked = rule.target === undefined ? listed : listed.slice(0, -printTarget(rule.target).length).trimEnd();
    return [{ chain, rule, asked, packets: Number(packets), bytes: Number(bytes) }];
  });
}

/** What `ipset save` says of a set of ours beside its type: its options, each with a value. */
const OPTIONS = new Set(['family', 'hashsize', 'maxelem', 'bucketsize', 'initval', 'range']);
/** Types by what they are for us. What may be swapped for one of ours, `bitmap:ip`, the kernel takes for the same kind. */
const TYPES: ReadonlyMap<string, IpSet['type']> = new Map([
  ['hash:ip', 'hash:ip'],
  ['bitmap:ip', 'hash:ip'],
  ['hash:net', 'hash:net'],
  ['bitmap:port', 'bitmap:port'],
]);

/** The range of ours: one that holds fewer ports takes their place in the rules that ask them. */
const ALL_PORTS = '0-65535';

/**
 * Our sets, with entries as we write them. One that has what ours never have (a netmask, timeouts, a part of all ports, entries that do not
 * match) gets the capacity 0: it is none of ours, whatever its name.
 */
export function readIpsets(listing: string): readonly IpSet[] {
  const sets = new Map<string, { set: Omit<IpSet, 'entries'>; readonly entries: string[] }>();
  for (const line of listing.split('\n')) {
    const [command, name = '', what = '', ...rest] = line.trimEnd().split(' ');
    const known = sets.get(name);
    if (command === 'add' && known !== undefined) {
      known.entries.push(what);
      if (rest.length > 0) known.set = { ...known.set, capacity: 0 };
    }
    if (command !== 'create' || !isOurs(name)) continue;
    const option = (key: string): string | undefined => rest[rest.indexOf(key) + 1];
    const isOfAnotherKind =
      what === 'bitmap:ip' ||
      (what === 'bitmap:port' && option('range') !== ALL_PORTS) ||
      rest.some((word, index) => index % 2 === 0 && !OPTIONS.has(word));
    const family: Family = rest.includes('family') && option('family') === 'inet6' ? 'IPv6' : 'IPv4';
    const capacity = isOfAnotherKind
      ? { capacity: 0 }
      : rest.includes('maxelem')
        ? { capacity: Number(option('maxelem')) }
        : {};
    const type = TYPES.get(what) ?? 'other';
    sets.set(name, { set: { name, type, family, ...capacity }, entries: [] });
  }
  return [...sets.values()].map(({ set, entries }) => ({ ...set, entries: canonicalEntries(set.type, entries) }));
}

function canonicalEntries(type: IpSet['type'], entries: readonly string[]): readonly string[] {
  switch (type) {
    case 'hash:ip':
      return entries.map((entry) => parseAddress(entry)?.text ?? entry);
    case 'hash:net':
      return entries.map((entry) => (entry.includes('/') ? parsePrefix(entry) : parseAddress(entry))?.text ?? entry);
    case 'bitmap:port':
      return ranges(entries.map(Number).sort((a, b) => a - b));
    case 'other':
      return entries;
  }
}

/** A bitmap lists each port for itself. */
function ranges(ports: readonly number[]): readonly string[] {
  const found: { first: number; last: number }[] = [];
  for (const port of ports) {
    const open = found.at(-1);
    if (open?.last === port - 1) open.last = port;
    else found.push({ first: port, last: port });
  }
  return found.map(({ first, last }) => (first === last ? first.toString() : `${first.toString()}-${last.toString()}`));
}
