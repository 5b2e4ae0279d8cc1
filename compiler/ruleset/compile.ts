/** Stage 3: host policy -> ruleset. Puts the fixed part, the group chains, the profiles and the ports together. */
import { DIRECTIONS, type Direction, type Port } from '../model/index.js';
import type { HostPolicy } from '../host-policy.js';
import { shortNames } from '../names.js';
import { isManagedDevice, type CompileOptions } from '../options.js';
import { seenChains, tellingChains } from './admission.js';
import { audited } from './audit.js';
import { arpBaseChain, baseChains, policyBaseChains } from './base-chains.js';
import { DROP, goTo, is, plainSet, tallySet } from './build.js';
import { closedTable, TABLE_NAME } from './closed.js';
import { ETHERTYPE } from './ethertype.js';
import { CHAINS } from './fixed-names.js';
import { bridgeGuard, GUARDED, owedToBridge, routedGuard } from './guard.js';
import { groupProgram, type GroupProgram } from './group-chain.js';
import { arpGuard, LINK_ONLY, linkOnlyChains } from './link-layer.js';
import { memberNames, memberSets, remoteNames } from './member-sets.js';
import { arpSetsAmong, linkSetsOf, ownSetsOf } from './own-sets.js';
import { portMap, unfilteredVerdict } from './port-maps.js';
import { profileChain, profileChainName, profilesOf, type Profile } from './profiles.js';
import { policyChains } from './skeleton.js';
import type { Chain, NamedSet, Ruleset, Table, TableFamily, Verdict } from './types.js';
import { zonePart } from './zone-chains.js';
import { isBridged, type Datapath } from '../datapath.js';

/** Compiles what a host needs into a ruleset. Deterministic: equal policies give equal rulesets. */
export function compileRuleset(policy: HostPolicy, options: CompileOptions): Ruleset {
  const ruleset = enforcing(policy, options);
  return options.audit ? audited(ruleset) : ruleset;
}

function enforcing(policy: HostPolicy, options: CompileOptions): Ruleset {
  const profiles = profilesOf(policy.ports, policy.groups);
  const sources = ownSetsOf(policy.ports, policy.groups, options.datapath);
  const policyTable = mainTable(policy, profiles, sources, options);
  const { datapath } = options;
  // Who takes a tap off its bridge, or plugs a routed one into a bridge, takes its packets past the policy: there it is closed.
  if (isBridged(datapath)) {
    return { datapath, tables: [policyTable, besideBridge(policy, options), closedTable('arp', options)] };
  }
  return { datapath, tables: [policyTable, arpTable(policy, sources, options), closedTable('bridge', options)] };
}

/** The families of the table that holds the policy, and of the one beside it. */
export function tableFamilies(datapath: Datapath): { readonly policy: TableFamily; readonly beside: TableFamily } {
  return isBridged(datapath) ? { policy: 'bridge', beside: 'inet' } : { policy: 'inet', beside: 'arp' };
}

function mainTable(
  policy: HostPolicy,
  profiles: ReadonlyMap<string, Profile>,
  sources: readonly NamedSet[],
  options: CompileOptions,
): Table {
  const { datapath } = options;
  const distinct = [...new Map([...profiles.values()].map((profile) => [profile.name, profile])).values()].sort(
    (a, b) => (a.name < b.name ? -1 : 1),
  );
  const names = shortNames(policy.groups.keys());
  const programs = groupPrograms(policy, names);
  const { policy: family } = tableFamilies(datapath);
  const zones = zonePart(family, policy, datapath);
  return table(
    family,
    [
      ...sources,
      ...memberSets(policy),
      ...programs.flatMap((program) => program.sets),
      ...DIRECTIONS.map((direction) =>
        portMap(
          policy.ports,
          direction,
          (port) => toProfile(profiles, port, direction),
          unfilteredVerdict(datapath, direction),
        ),
      ),
      ...zones.sets,
      ...DIRECTIONS.map(tallySet),
    ],
    [
      ...policyChains(datapath, options),
      ...programs.map((program) => program.chain),
      ...distinct.flatMap((profile) =>
        DIRECTIONS.map((direction) => profileChain(profile, direction, names, datapath)),
      ),
      ...zones.chains,
      ...policyBaseChains(datapath, options),
    ],
  );
}

/** What table bridge cannot say of zones and connections, and of taps that are on no bridge. */
function besideBridge(policy: HostPolicy, options: CompileOptions): Table {
  const zones = zonePart('inet', policy, options.datapath);
  const closed = closedTable('inet', options);
  return table(
    'inet',
    [...zones.sets, ...closed.sets.values()],
    [
      ...(options.datapath === 'bridge-netfilter' ? tellingChains(options) : []),
      ...zones.chains,
      ...closed.chains.values(),
    ],
  );
}

/**
 * What iptables never sees, as tables of nftables: ARP and, on bridges, every other frame that is not IP; all that would
 * pass by it, on a bridge where the host routes, and off it where ports are on bridges; and the guard of what it is to see.
 * They follow from the ports alone.
 */
export function besideIptables(policy: Pick<HostPolicy, 'ports'>, options: CompileOptions): readonly Table[] {
  if (isBridged(options.datapath)) {
    const closed = closedTable('inet', options);
    const inet = table(
      'inet',
      [...closed.sets.values()],
      [...seenChains(options), owedToBridge(options), ...closed.chains.values()],
    );
    return [linkTable(policy, options), inet, closedTable('arp', options)];
  }
  const others = guardedDevices(policy).filter((device) => !isManagedDevice(options, device));
  const guard = table(
    'inet',
    [guardedSet(others), ...DIRECTIONS.map(tallySet)],
    routedGuard(others.length > 0, options),
  );
  return [guard, arpTable(policy, linkSetsOf(policy.ports), options), closedTable('bridge', options)];
}

/** Devices whose packets iptables must have let pass; where the host routes those of the managed prefix are so in any case. */
function guardedDevices({ ports }: Pick<HostPolicy, 'ports'>): readonly string[] {
  const guarded = ports.filter(({ filtering }) => filtering === 'filtered' || filtering === 'down');
  return [...new Set(guarded.map(({ device }) => device))].sort();
}

function guardedSet(devices: readonly string[]): NamedSet {
  return plainSet(
    GUARDED,
    ['iifname'],
    devices.map((device) => [device]),
  );
}

function linkTable(policy: Pick<HostPolicy, 'ports'>, options: CompileOptions): Table {
  return table(
    'bridge',
    [
      ...linkSetsOf(policy.ports),
      guardedSet(guardedDevices(policy)),
      ...DIRECTIONS.map((direction) => portMap(policy.ports, direction, () => goTo(LINK_ONLY[direction]))),
      ...DIRECTIONS.map(tallySet),
    ],
    [
      ...linkOnlyChains(options),
      ...bridgeGuard(is('ether type', ETHERTYPE.IPv4, ETHERTYPE.IPv6), options),
      ...baseChains(options.datapath, options),
    ],
  );
}

/** The routed datapath's ARP guard: table inet does not see ARP. */
function arpTable(policy: Pick<HostPolicy, 'ports'>, sources: readonly NamedSet[], options: CompileOptions): Table {
  return table(
    'arp',
    [...arpSetsAmong(sources), portMap(policy.ports, 'egress', () => goTo(CHAINS.arpGuard)), tallySet('egress')],
    [...arpGuard(), arpBaseChain(options)],
  );
}

function table(family: TableFamily, sets: readonly NamedSet[], chains: readonly Chain[]): Table {
  return {
    family,
    name: TABLE_NAME,
    sets: uniqueByName(sets),
    chains: uniqueByName(chains),
  };
}

/** Two objects of one name would silently become one: refuse, since only a digest's collision can cause it. */
function uniqueByName<T extends { readonly name: string }>(items: readonly T[]): ReadonlyMap<string, T> {
  const byName = new Map(items.map((item) => [item.name, item]));
  if (byName.size !== items.length) throw new Error('two kernel objects would get one name');
  return byName;
}

function toProfile(profiles: ReadonlyMap<string, Profile>, port: Port, direction: Direction): Verdict {
  const profile = profiles.get(port.id);
  return profile === undefined ? DROP : goTo(profileChainName(profile, direction));
}

function groupPrograms(policy: HostPolicy, names: ReadonlyMap<string, string>): readonly GroupProgram[] {
  const setNames = memberNames(policy);
  const shared = { memberSetNames: setNames, shortNames: remoteNames(policy) };
  return [...policy.groups.values()].flatMap((group) =>
    DIRECTIONS.map((direction) => groupProgram(group, direction, { ...shared, name: names.get(group.id) ?? group.id })),
  );
}
