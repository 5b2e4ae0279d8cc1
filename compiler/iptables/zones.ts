/** The raw table: packets get their zone there, or are kept from being tracked. */
import { covers, FAMILIES, isExact, type Family, type Port } from '../model/index.js';
import { compareText, ownAddresses } from '../host-policy.js';
import type { Profile } from '../ruleset/profiles.js';
import type { ZoneAssignment } from '../zones.js';
import { dispatchTree } from './dispatch.js';
import { chainName, statelessName } from './names.js';
import { jumpTo, narrowing, type IptablesRule, type Target } from './rule.js';
import { printRule } from './rule-text.js';
import type { IpSet, IptablesChain, RawZones } from './types.js';

type SourceZone = RawZones['sources'][number];

/** The entry of PREROUTING. */
const ENTRY = chainName('raw_in');

export const NO_ZONES: RawZones = { devices: [], sources: [], untracked: [] };

/** What a family's raw table is to say. A name that ends in + would stand for all that start so. */
export function rawZones({ zones, sources }: ZoneAssignment, family: Family, stateless: readonly IpSet[]): RawZones {
  return {
    devices: [...zones].filter(([device]) => !device.endsWith('+')),
    sources: sources
      .filter(({ device, source }) => source.family === family && !device.endsWith('+'))
      .map(({ device, source: { text, length }, zone }) => ({ device, source: { text, length }, zone })),
    untracked: stateless.filter((set) => set.family === family).map(({ name }) => name),
  };
}

/**
 * The chains that say it.
 * @param isAlways whether there are chains when there is nothing to say.
 */
export function rawChains({ devices, sources, untracked }: RawZones, isAlways: boolean): readonly IptablesChain[] {
  if (devices.length + sources.length + untracked.length === 0 && !isAlways) return [];
  const destinations = devices.map(([device, zone]) => ({ device, target: inZone(zone) }));
  const tree = (way: 'in' | 'out'): readonly IptablesChain[] => {
    const side = way === 'in' ? 'input' : 'output';
    return dispatchTree(`zone_${way}`, destinations, (device, target) => ({ [side]: device, target }));
  };
  // What is not tracked comes first: a packet that has a zone cannot be kept from tracking any more (xt_CT.c).
  const rules = [...untracked.map(untrackedRule), ...sources.map(sourceRule), { target: jumpTo(chainName('zone_in')) }];
  return [
    ...tree('in'),
    { name: ENTRY, rules },
    { name: 'PREROUTING', rules: [{ target: jumpTo(ENTRY) }] },
    ...tree('out'),
    { name: 'OUTPUT', rules: [{ target: jumpTo(chainName('zone_out')) }] },
  ];
}

/** What chains that are loaded say: the reverse of {@link rawChains}, of rules as iptables-save(8) lists them. */
export function readRawZones(chains: readonly IptablesChain[]): RawZones {
  const devices = new Map<string, number>();
  const sources: SourceZone[] = [];
  const untracked: string[] = [];
  for (const rule of chains.flatMap(({ rules }) => rules)) {
    const { source, input, matches = [], target } = rule;
    const [first] = matches;
    if (target?.kind === 'notrack' && first?.kind === 'set' && first.side === 'src') untracked.push(first.set);
    const isMore = (rule.destination ?? rule.output ?? rule.protocol ?? rule.notProtocol ?? first) !== undefined;
    if (target?.kind !== 'zone' || input === undefined || isMore) continue;
    if (source !== undefined) sources.push({ device: input, source, zone: target.zone });
    else devices.set(input, target.zone);
  }
  return { devices: [...devices], sources, untracked };
}

/**
 * The zones that are wanted and, of devices and sources that have none any more, those that were; undefined where that is what is wanted. What
 * is not tracked is judged right by rules of stateless ports alone, which judge what is tracked as well: it is so after they came, and until
 * before they go.
 */
export function zonesBetween(before: RawZones, after: RawZones): RawZones | undefined {
  const devices = new Map([...before.devices, ...after.devices]);
  const sources = [
    ...new Map([...after.sources, ...before.sources].map((source) => [printRule(sourceRule(source)), source])).values(),
  ];
  const untracked = after.untracked.filter((set) => before.untracked.includes(set));
  const isSame =
    devices.size === after.devices.length &&
    sources.length === after.sources.length &&
    untracked.length === after.untracked.length;
  return isSame ? undefined : { devices: [...devices].sort(([a], [b]) => compareText(a, b)), sources, untracked };
}

function inZone(zone: number): Target {
  return { kind: 'zone', zone };
}

function sourceRule({ device, source, zone }: SourceZone): IptablesRule {
  return { source: narrowing(source), input: device, target: inZone(zone) };
}

/**
 * Between two ports of this host whose groups are stateless nobody asks for the state of a connection. Any other packet may be
 * of a flow that a stateful port, or the host's own rules and address translation, follow: docs/decisions/iptables.md.
 */
function untrackedRule(set: string): IptablesRule {
  const both = (['src', 'dst'] as const).map((side) => ({ kind: 'set', set, side }) as const);
  return { matches: both, target: { kind: 'notrack' } };
}

/** What only stateless ports of this host may send from; none where there is one such port at most. */
export function statelessSets(ports: readonly Port[], profiles: ReadonlyMap<string, Profile>): readonly IpSet[] {
  const isStateless = (port: Port): boolean => profiles.get(port.id)?.stateful === false;
  const stateless = ports.filter(isStateless);
  if (stateless.length === 0) return [];
  const others = ports.filter((port) => !isStateless(port)).flatMap(ownAddresses);
  const theirs = new Set(others.map(({ prefix }) => prefix.text));
  const wide = others.filter(({ prefix }) => !isExact(prefix));
  return FAMILIES.flatMap((family): readonly IpSet[] => {
    const own = stateless
      .flatMap(ownAddresses)
      .filter(({ prefix }) => prefix.family === family && isExact(prefix))
      .filter(({ prefix }) => !theirs.has(prefix.text) && !wide.some((other) => covers(other.prefix, prefix)));
    const entries = [...new Set(own.map(({ prefix }) => prefix.text))].sort(compareText);
    if (entries.length < 2) return [];
    return [{ name: statelessName(family), type: 'hash:ip', family, entries }];
  });
}
