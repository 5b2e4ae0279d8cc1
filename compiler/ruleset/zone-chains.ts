/** Connection tracking zones in the ruleset: the maps that hold them, and what puts packets into them. */
import type { Family } from '../model/index.js';
import type { HostPolicy } from '../host-policy.js';
import { BRIDGE_SETS } from './admission.js';
import { act, chain, namedSet, plainSet } from './build.js';
import { SETS } from './fixed-names.js';
import type { Chain, Field, MapElement, NamedSet, Rule, TableFamily } from './types.js';
import type { Datapath } from '../datapath.js';

/** The maps of zones and their chains, in one table; none where every port is in zone 0. Beside table bridge, what is a bridge. */
export function zonePart(
  family: TableFamily,
  { zones }: Pick<HostPolicy, 'zones'>,
  datapath: Datapath,
): { readonly sets: readonly NamedSet[]; readonly chains: readonly Chain[] } {
  const bridges = family === 'inet' && datapath === 'bridge-netfilter' ? bridgeSets(zones.bridges) : [];
  const isShared = zones.devices.size > 0;
  const program = zonePrograms(datapath, isShared).find((one) => one.family === family);
  if (program === undefined || zones.zones.size + zones.devices.size + zones.sources.length === 0) {
    return { sets: bridges, chains: [] };
  }
  const zoneMap = (name: string, fields: readonly Field[], content: readonly MapElement<number>[]): NamedSet =>
    namedSet(name, fields, false, { data: 'zone', elements: content });
  const byName = (named: ReadonlyMap<string, number>): readonly MapElement<number>[] =>
    [...named].map(([name, zone]) => ({ key: [name], data: zone }));
  const bySource = (family: Family): readonly MapElement<number>[] =>
    zones.sources
      .filter(({ source }) => source.family === family)
      .map(({ device, source, zone }) => ({ key: [device, source], data: zone }));
  const ofSharedBridges = [
    zoneMap(SETS.zonesOfDevices, ['iifname'], byName(zones.devices)),
    zoneMap(
      SETS.zonesOfVlans,
      ['ibrname', 'vlan id'],
      zones.vlans.map(({ bridge, vlan, zone }) => ({ key: [bridge, vlan], data: zone })),
    ),
  ];
  const ofSources = [
    zoneMap(SETS.zonesOfSources4, ['iifname', 'ip saddr'], bySource('IPv4')),
    zoneMap(SETS.zonesOfSources6, ['iifname', 'ip6 saddr'], bySource('IPv6')),
  ];
  return {
    sets: [
      ...bridges,
      ...(isShared && family === 'bridge' ? ofSharedBridges : []),
      ...(datapath === 'routed' ? ofSources : []),
      zoneMap(SETS.zones, [program.field], byName(zones.zones)),
    ],
    chains: program.chains,
  };
}

function bridgeSets(bridges: readonly string[]): readonly NamedSet[] {
  return [
    plainSet(
      BRIDGE_SETS.bridges,
      ['oifname'],
      bridges.map((bridge) => [bridge]),
    ),
    plainSet(
      BRIDGE_SETS.crossings,
      ['iifname', 'oifname'],
      bridges.map((bridge) => [bridge, bridge]),
    ),
  ];
}

/** What puts packets into connection tracking zones, in one table: before tracking (priority raw). */
interface ZoneProgram {
  readonly family: TableFamily;
  /** What the map's keys are. */
  readonly field: 'iifname' | 'ibrname';
  readonly chains: readonly Chain[];
}

/**
 * The zone programs of a datapath. Where networks share a bridge (`isShared`), a port's packets get their zone by its device, and
 * those from elsewhere by the VLAN that they are tagged with.
 *
 * Table inet sees a bridge as the device of what br_netfilter shows it, and of what the host
 * itself sends there: so that an answer of the host is found in the zone of what it answers.
 */
function zonePrograms(datapath: Datapath, isShared: boolean): readonly ZoneProgram[] {
  const priority = -300;
  const zoneBy = (field: Field): Rule =>
    act({ kind: 'zone', fields: [field], map: SETS.zones }, 'one zone per address space');
  const onSharedBridge: readonly Rule[] = [
    act({ kind: 'zone', fields: ['iifname'], map: SETS.zonesOfDevices }, 'ports of networks that share a bridge'),
    act({ kind: 'zone', fields: ['ibrname', 'vlan id'], map: SETS.zonesOfVlans }, 'their networks from elsewhere'),
  ];
  const zonesIn = (field: Field, comment: string): Chain =>
    chain('zones_in', comment, [...(isShared ? onSharedBridge : []), zoneBy(field)], { hook: 'prerouting', priority });
  const zonesOut = chain('zones_out', 'zone of packets that the host makes', [zoneBy('oifname')], {
    hook: 'output',
    priority,
  });
  switch (datapath) {
    case 'bridge':
      return [
        { family: 'bridge', field: 'ibrname', chains: [zonesIn('ibrname', 'zone by bridge')] },
        { family: 'inet', field: 'iifname', chains: [zonesOut] },
      ];
    case 'bridge-netfilter':
      return [{ family: 'inet', field: 'iifname', chains: [zonesIn('iifname', 'zone by bridge'), zonesOut] }];
    case 'routed': {
      const bySource = [
        act(
          { kind: 'zone', fields: ['iifname', 'ip saddr'], map: SETS.zonesOfSources4 },
          'an address of another network',
        ),
        act(
          { kind: 'zone', fields: ['iifname', 'ip6 saddr'], map: SETS.zonesOfSources6 },
          'an address of another network',
        ),
      ];
      const byDevice = zonesIn('iifname', 'zone by device');
      return [
        {
          family: 'inet',
          field: 'iifname',
          chains: [{ ...byDevice, rules: [...bySource, ...byDevice.rules] }, zonesOut],
        },
      ];
    }
  }
}
