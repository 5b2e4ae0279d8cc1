/** What a table of nftables holds, as a plan speaks of it. Comments of its rules know names of groups and ids of rules. */
import {
  groupChainName,
  readChainName,
  readComment,
  readGroupLabel,
  SETS,
  type TableState,
} from '../../../compiler/index.js';
import type { ReadRule } from '../../../compiler/listing.js';
import type { Direction } from '../../../compiler/model/index.js';
import {
  CLOSED,
  isOfEveryPort,
  stateOfGroups,
  UNFILTERED,
  type Side,
  type SideGroup,
  type SidePort,
  type SideRules,
} from './line.js';
import { membersIn, shortOfChain, type Names } from './names.js';
import { permitsOf } from './permits.js';

/** @param rulesOf the rules of a chain. */
export function tableSide(state: TableState, rulesOf: (chain: string) => readonly ReadRule[], names: Names): Side {
  const shorts = [...state.chains.keys()].flatMap((chain) => shortOfChain(chain) ?? []);
  return {
    groups: new Map(shorts.map((short) => [short, groupOf(state, rulesOf, short, names)])),
    members: new Map(
      [...state.sets].flatMap(([set, { elements }]) =>
        membersIn(set, names) === undefined ? [] : [[set, elements] as const],
      ),
    ),
    ports: portsOf(state, rulesOf),
  };
}

function groupOf(
  state: TableState,
  rulesOf: (chain: string) => readonly ReadRule[],
  short: string,
  names: Names,
): SideGroup {
  const [chainIn, chainOut] = [groupChainName(short, 'ingress'), groupChainName(short, 'egress')];
  const sideRules = (chain: string): SideRules => rulesIn(state, chain, rulesOf(chain), names);
  return {
    name: [...rulesOf(chainIn), ...rulesOf(chainOut)].flatMap(({ label }) => readGroupLabel(label)?.name ?? [])[0],
    rules: { ingress: sideRules(chainIn), egress: sideRules(chainOut) } satisfies Record<Direction, SideRules>,
  };
}

function rulesIn(state: TableState, chain: string, rules: readonly ReadRule[], names: Names): SideRules {
  const sets = {
    keys: (set: string): readonly (readonly string[])[] =>
      [...(state.sets.get(set)?.elements.keys() ?? [])].map((key) => key.split(' . ')),
    members: (set: string): string | undefined => membersIn(set, names),
  };
  const read = rules.map(({ label, conditions }) =>
    conditions === undefined ? undefined : permitsOf(conditions, sets, ruleIn(label)),
  );
  return {
    permits: read.flatMap((permits) => permits ?? []),
    areAllKnown: !read.includes(undefined),
    text: state.chains.get(chain)?.comments.join('\n') ?? '',
  };
}

/** One rule is named. */
function ruleIn(label: string): string {
  const id = readGroupLabel(label)?.rule;
  return id === undefined ? '' : `rule ${id} `;
}

/** The profile that a map's element leads to, as nft text (`goto CHAIN`). */
function profileIn(verdict: string): string | undefined {
  const target = verdict.slice(verdict.lastIndexOf(' ') + 1);
  return readChainName(target)?.kind === 'profile' ? target : undefined;
}

function portsOf(state: TableState, rulesOf: (chain: string) => readonly ReadRule[]): ReadonlyMap<string, SidePort> {
  const addresses = addressesIn(state);
  /** What becomes of what a device sends. */
  const verdicts = state.sets.get(SETS.fromPort)?.elements ?? new Map<string, string>();
  return new Map(
    [...verdicts].map(([key, verdict]): [string, SidePort] => {
      const device = unquoted(key);
      const profile = profileIn(verdict);
      const own = { isFiltered: profile !== undefined, addresses: addresses.get(device) ?? new Set<string>() };
      if (profile !== undefined)
        return [device, { ...own, state: stateOfGroups(groupsIn(state, rulesOf(profile), profile)) }];
      return [device, { ...own, state: verdict === 'drop' ? CLOSED : UNFILTERED }];
    }),
  );
}

/** By their names, as far as a comment has room for them: what is wanted is named as what is loaded. */
function groupsIn(state: TableState, rules: readonly ReadRule[], profile: string): readonly string[] {
  const comments = state.chains.get(profile)?.comments ?? [];
  return rules.flatMap(({ jump }, index) =>
    jump !== undefined && readChainName(jump)?.kind === 'group' ? [readComment(comments[index] ?? '').label] : [],
  );
}

const SOURCES = [SETS.sources4, SETS.sources6, SETS.sourcePrefixes4, SETS.sourcePrefixes6];

/** By device. */
function addressesIn({ sets }: TableState): ReadonlyMap<string, ReadonlySet<string>> {
  const addresses = new Map<string, Set<string>>();
  for (const set of SOURCES) {
    for (const key of sets.get(set)?.elements.keys() ?? []) {
      const [device = '', , address = ''] = key.split(' . ');
      if (isOfEveryPort(address)) continue;
      const name = unquoted(device);
      addresses.set(name, (addresses.get(name) ?? new Set()).add(address));
    }
  }
  return addresses;
}

function unquoted(device: string): string {
  return device.replaceAll('"', '');
}
