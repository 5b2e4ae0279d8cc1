/** Networks that use one address: which are kept apart, and what is said where they are not. */
import { expect, it } from 'vitest';
import { assignZones, type ZoneAssignment } from '../../../compiler/zones.js';
import { parseTopology } from '../../../src/model/index.js';
import type { Datapath } from '../../../compiler/index.js';

/** Two ports with one address in networks `a` and `b`, on the bridges and VLANs that are given. */
function zones(
  datapath: Datapath,
  places: readonly { readonly bridge_name: string; readonly vlan?: number }[],
): ZoneAssignment {
  const ports = places.map((place, index) => ({
    id: `p${index.toString()}`,
    network_id: 'ab'[index],
    device: `tap${index.toString()}`,
    mac_address: `fa:16:3e:00:00:0${index.toString()}`,
    fixed_ips: [{ ip_address: '10.0.0.1' }],
    'binding:vif_type': 'bridge',
    'binding:vif_details': place,
  }));
  const { topology, problems } = parseTopology([{ file: 'test', content: { ports } }]);
  expect(problems.filter(({ severity }) => severity === 'error')).toEqual([]);
  return assignZones([...topology.ports.values()], datapath);
}

const said = ({ overlaps }: ZoneAssignment): readonly unknown[] =>
  overlaps.map(({ bridge, networkIds }) => [bridge, ...networkIds]);

const own = [{ bridge_name: 'br0' }, { bridge_name: 'br1' }];
const tagged = [
  { bridge_name: 'br0', vlan: 1 },
  { bridge_name: 'br0', vlan: 2 },
];
const shared = [{ bridge_name: 'br0' }, { bridge_name: 'br0' }];

it.each<[string, Datapath, typeof tagged | typeof shared, readonly unknown[], number]>([
  ['routed: the second has a zone of its own', 'routed', own, [[undefined, 'a', 'b']], 1],
  ['a bridge each', 'bridge', own, [], 2],
  ['a bridge each, br_netfilter', 'bridge-netfilter', own, [], 2],
  ['one bridge, VLANs that are known', 'bridge', tagged, [], 2],
  ['one bridge, VLANs that cannot be asked', 'bridge-netfilter', tagged, [['br0', 'a', 'b']], 1],
  ['one bridge, VLANs unknown', 'bridge', shared, [['br0', 'a', 'b']], 1],
])('%s', (_name, datapath, places, overlaps, count) => {
  const assigned = zones(datapath, places);
  expect(said(assigned)).toEqual(overlaps);
  expect(assigned.zones.size + assigned.devices.size).toBe(count);
});
