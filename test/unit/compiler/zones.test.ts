/** Networks that use one address: which are kept apart, and what is said where they are not. */
import { describe, expect, it } from 'vitest';
import { assignZones, type ZoneAssignment } from '../../../compiler/zones.js';
import { parseTopology } from '../../../compiler/model/index.js';
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
  ['a bridge each: the second has a zone of its own', 'bridge', own, [], 1],
  ['a bridge each, br_netfilter', 'bridge-netfilter', own, [], 1],
  ['one bridge, VLANs that are known', 'bridge', tagged, [], 2],
  ['one bridge, VLANs that cannot be asked', 'bridge-netfilter', tagged, [['br0', 'a', 'b']], 1],
  ['one bridge, VLANs unknown', 'bridge', shared, [['br0', 'a', 'b']], 1],
])('%s', (_name, datapath, places, overlaps, count) => {
  const assigned = zones(datapath, places);
  expect(said(assigned)).toEqual(overlaps);
  expect(assigned.zones.size + assigned.devices.size).toBe(count);
});

describe('allowed address pairs', () => {
  const port = (
    name: string,
    network: string,
    address: string,
    ...pairs: readonly string[]
  ): Record<string, unknown> => ({
    id: name,
    network_id: network,
    device: `tap-${name}`,
    mac_address: `fa:16:3e:00:00:0${name.charCodeAt(0).toString(16).slice(-1)}`,
    fixed_ips: [{ ip_address: address }],
    allowed_address_pairs: pairs.map((ip_address) => ({ ip_address })),
  });
  const assigned = (datapath: Datapath, ...ports: readonly Record<string, unknown>[]): ZoneAssignment => {
    const { topology, problems } = parseTopology([{ file: 'test', content: { ports } }]);
    expect(problems.filter(({ severity }) => severity === 'error')).toEqual([]);
    return assignZones([...topology.ports.values()], datapath);
  };
  const sourcesOf = ({ sources }: ZoneAssignment): readonly string[] =>
    sources.map(({ device, source }) => `${device} ${source.text}`);
  const owner = port('owner', 'm', '10.0.0.1');

  it.each([
    ['exact', '10.0.0.1'],
    ['wide', '10.0.0.0/24'],
    ['of everything', '0.0.0.0/0'],
  ])('who holds one that covers an address of another network pays, and its owner does not: %s', (_what, pair) => {
    for (const network of ['a', 'z']) {
      const holder = port('holder', network, '172.16.0.9', pair);
      const zones = assigned('routed', owner, holder);
      expect([sourcesOf(zones), [...zones.zones]]).toEqual([['tap-holder 10.0.0.1'], []]);
      expect(zones.overlaps.map(({ networkIds, holder: who }) => [...networkIds, who?.id])).toEqual([
        ['m', network, 'holder'],
      ]);
    }
  });

  it('costs nothing in its own network, nor for the fixed IP of the holder', () => {
    expect(sourcesOf(assigned('routed', owner, port('holder', 'm', '10.0.0.9', '0.0.0.0/0')))).toEqual([]);
    const both = assigned('routed', owner, port('holder', 'z', '10.0.0.1', '10.0.0.0/24'));
    expect([sourcesOf(both), both.zones.size]).toEqual([[], 1]);
  });

  it('of two that hold one address the wider pays, or else the later network', () => {
    const [first, second] = [port('first', 'b', '10.1.0.1', '10.9.9.9'), port('second', 'c', '10.1.0.2', '10.9.9.9')];
    expect(sourcesOf(assigned('routed', first, second))).toEqual(['tap-second 10.9.9.9']);
    const wide = port('wide', 'a', '10.1.0.3', '10.9.0.0/16');
    expect(sourcesOf(assigned('routed', first, wide))).toEqual(['tap-wide 10.9.9.9']);
  });

  it('on bridges the network of the holder has a zone of its own', () => {
    const zones = assigned('bridge-netfilter', owner, port('holder', 'a', '172.16.0.9', '10.0.0.0/24'));
    expect([...zones.zones.keys()]).toEqual(['brqa']);
  });
});
