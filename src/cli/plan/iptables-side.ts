/**
 * What iptables and ipset hold, as a plan speaks of it. Their chains and sets have the names of those of nftables, less what does not fit;
 * their rules have no comments, which would be a match more for each packet, so that what is loaded knows no name of a group and no id of
 * a rule: those are of the topology.
 */
import {
  groupChainName,
  printIptablesRule,
  readChainName,
  type FamilyTables,
  type IpSet,
  type IptablesProgram,
  type IptablesRule,
  type Ruleset,
} from '../../../compiler/index.js';
import {
  chainName,
  ENTRIES,
  groupConditions,
  jumpOfAll,
  nameWithin,
  readDispatch,
  readSources,
  setName,
  type Condition,
} from '../../../compiler/listing.js';
import { FAMILIES, type Direction, type Family } from '../../../compiler/model/index.js';
import {
  CLOSED,
  isOfEveryPort,
  stateOfGroups,
  UNFILTERED,
  type Keys,
  type Side,
  type SideGroup,
  type SidePort,
  type SideRules,
} from './line.js';
import { membersIn, shortOfChain, UNNAMED, type Names } from './names.js';
import { ANYWHERE, permitsOf, textOf, type Permit } from './permits.js';

/** The names that nftables has, by those of iptables and ipset: one that does not fit there is a digest (compiler/iptables/names.ts). */
export class LongNames {
  readonly #names = new Map<string, string>();

  constructor({ tables }: Ruleset) {
    for (const { chains, sets } of tables) {
      for (const name of chains.keys()) this.#names.set(chainName(name), name);
      for (const name of sets.keys()) this.#names.set(setName(name), name);
    }
  }

  of(name: string): string {
    return this.#names.get(name) ?? nameWithin(name);
  }
}

/** Rules of a chain, by family. */
type Chains = Readonly<Record<Family, ReadonlyMap<string, readonly IptablesRule[]>>>;

interface Reader {
  readonly chains: Chains;
  readonly sets: ReadonlyMap<string, IpSet>;
  readonly long: LongNames;
  readonly names: Names;
}

/** @param knownRules the ids of the rules that permit something, where they are known: see {@link Permit}. */
export function iptablesSide(
  { families, sets }: IptablesProgram,
  long: LongNames,
  names: Names,
  knownRules: (short: string, direction: Direction, permit: Permit) => string = () => '',
): Side {
  const chainsOf = ({ mangle }: FamilyTables): Chains[Family] =>
    new Map(mangle.map(({ name, rules }) => [name, rules] as const));
  const reader: Reader = {
    chains: { IPv4: chainsOf(families.IPv4), IPv6: chainsOf(families.IPv6) },
    sets: new Map(sets.map((set) => [set.name, set])),
    long,
    names,
  };
  const chains = FAMILIES.flatMap((family) => [...reader.chains[family].keys()]);
  const shorts = new Set(chains.flatMap((chain) => shortOfChain(long.of(chain)) ?? []));
  const rulesOf = (short: string, direction: Direction): SideRules => {
    const { permits, ...rules } = rulesIn(reader, groupChainName(short, direction));
    return {
      ...rules,
      permits: permits.map((permit) => ({ ...permit, rules: knownRules(short, direction, permit) })),
    };
  };
  return {
    groups: new Map(
      [...shorts].map((short): [string, SideGroup] => [
        short,
        { name: undefined, rules: { ingress: rulesOf(short, 'ingress'), egress: rulesOf(short, 'egress') } },
      ]),
    ),
    members: new Map(
      sets.flatMap((set): readonly [string, Keys][] => {
        const name = long.of(set.name);
        return membersIn(name, names) === undefined ? [] : [[name, new Set(entriesOf(set))]];
      }),
    ),
    ports: portsOf(reader),
  };
}

function rulesIn({ chains, sets, long, names }: Reader, name: string): SideRules {
  const chain = chainName(name);
  const asked = {
    keys: (set: string): readonly (readonly string[])[] => {
      const known = sets.get(set);
      return known === undefined ? [] : entriesOf(known).map((entry) => [entry]);
    },
    members: (set: string): string | undefined => membersIn(long.of(set), names),
  };
  const holdsPorts = (set: string): boolean => sets.get(set)?.type === 'bitmap:port';
  const read = FAMILIES.flatMap((family) =>
    (chains[family].get(chain) ?? []).map((rule) => {
      const conditions: readonly Condition[] | undefined = groupConditions(rule, { family, holdsPorts });
      return conditions === undefined ? undefined : permitsOf(conditions, asked, '');
    }),
  );
  return {
    permits: ofBothFamilies(read.flatMap((permits) => permits ?? [])),
    areAllKnown: !read.includes(undefined),
    text: FAMILIES.map((family) => (chains[family].get(chain) ?? []).map(printIptablesRule).join('\n')).join('\n\n'),
  };
}

/** What is said once where one rule of nftables is for both. */
function ofBothFamilies(permits: readonly Permit[]): readonly Permit[] {
  const isAll = ({ protocol, remote }: Permit): boolean => protocol === undefined && remote === ANYWHERE;
  const all = permits.filter(isAll);
  const [first] = all;
  if (first === undefined || new Set(all.map(({ family }) => family)).size < FAMILIES.length) return permits;
  return [{ ...first, family: undefined }, ...permits.filter((permit) => !isAll(permit))];
}

/** ipset has no prefix of length 0: two halves stand for it (netEntries). */
const HALVES: readonly (readonly [string, string, string])[] = [
  ['0.0.0.0/1', '128.0.0.0/1', '0.0.0.0/0'],
  ['::/1', '8000::/1', '::/0'],
];

function entriesOf({ type, entries }: IpSet): readonly string[] {
  if (type !== 'hash:net') return entries;
  const [one, other, whole] = HALVES.find(([low, high]) => entries.includes(low) && entries.includes(high)) ?? [];
  if (whole === undefined) return entries;
  return [whole, ...entries.filter((entry) => entry !== one && entry !== other)];
}

function portsOf(reader: Reader): ReadonlyMap<string, SidePort> {
  const addresses = addressesIn(reader);
  // What is for a device leads to its profile at once. The tree of both families is the same.
  const targets = readDispatch(reader.chains.IPv4, ENTRIES.ingress);
  return new Map(
    [...targets].map(([device, target]): [string, SidePort] => {
      const profile = target.kind === 'goto' ? target.chain : '';
      const isFiltered = readChainName(reader.long.of(profile))?.kind === 'profile';
      const own = { isFiltered, addresses: addresses.get(device) ?? new Set<string>() };
      if (isFiltered) return [device, { ...own, state: stateOfGroups(groupsIn(reader, profile)) }];
      const isClosed = target.kind === 'verdict' && target.verdict === 'DROP';
      return [device, { ...own, state: isClosed ? CLOSED : UNFILTERED }];
    }),
  );
}

/** Their names are the topology's; of one that it does not know, how its id begins. */
function groupsIn({ chains, long, names }: Reader, profile: string): readonly string[] {
  const jumps = (chains.IPv4.get(profile) ?? []).flatMap((rule) => jumpOfAll(rule) ?? []);
  const shorts = jumps.flatMap((chain) => shortOfChain(long.of(chain)) ?? []);
  return shorts.map((short) => names.plainName(short) ?? `${short}${UNNAMED}`);
}

/** By device. */
function addressesIn({ chains }: Reader): ReadonlyMap<string, ReadonlySet<string>> {
  const addresses = new Map<string, Set<string>>();
  for (const family of FAMILIES) {
    for (const [device, target] of readDispatch(chains[family], ENTRIES.egress)) {
      const known = addresses.get(device) ?? new Set();
      addresses.set(device, known);
      const own = target.kind === 'goto' ? chains[family].get(target.chain) : undefined;
      for (const address of readSources(own ?? [], family)) if (!isOfEveryPort(address)) known.add(address);
    }
  }
  return addresses;
}

/** The ids of rules that what nftables would hold names, for {@link iptablesSide}. */
export function rulesOfSide({ groups }: Side): (short: string, direction: Direction, permit: Permit) => string {
  const known = new Map<string, string>();
  const key = (short: string, direction: Direction, permit: Permit): string =>
    [short, direction, textOf(permit, direction)].join(' ');
  for (const [short, { rules }] of groups) {
    for (const direction of ['ingress', 'egress'] as const)
      for (const permit of rules[direction].permits) known.set(key(short, direction, permit), permit.rules);
  }
  return (short, direction, permit) => known.get(key(short, direction, permit)) ?? '';
}
