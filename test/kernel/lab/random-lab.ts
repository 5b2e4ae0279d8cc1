/** The random topologies of the kernel tier, and the devices on which they are played. */
import { DEFAULT_OPTIONS, isBridged, type Datapath } from '../../../compiler/index.js';
import type { JudgeContext } from '../../../compiler/semantics/index.js';
import { parseTopology, type Port, type Topology } from '../../../compiler/model/index.js';
import type { LabPort } from './lab.js';

/** Ports of the random topologies that are on host-1, with addresses of their own each. */
export const ADDRESSES: readonly (readonly string[])[] = [
  ['10.0.0.1', 'fd00::1'],
  ['10.0.0.2', 'fd00::2'],
  [],
  ['10.0.0.5'],
  ['fd00::5'],
];
export const LOCAL = [0, 1, 3, 4];
const device = (number: number): string => `tap${String(number).padStart(8, '0')}-00`;
export const UNKNOWN_DEVICE = 'tapunknown';

/** As the random topologies give them. */
const mac = (number: number): string => `fa:16:3e:00:00:0${String(1 + (number % 4))}`;
/** On a bridge a MAC is one device's; a fifth port would share the first one's. */
const BRIDGED = [0, 1, 3];
const NETWORK = '11111111-0000-4000-8000-000000000001';
export const BRIDGE = 'brq11111111-00';

export function topologyOf(document: Record<string, unknown>, datapath: Datapath): Topology {
  const ports = (document['ports'] as readonly Record<string, unknown>[]).map((port, number) => ({
    ...port,
    ...(isBridged(datapath) ? { network_id: NETWORK, 'binding:vif_details': {} } : {}),
    ...(isBridged(datapath) && number === 4 ? { 'binding:host_id': 'host-2' } : {}),
    fixed_ips: (ADDRESSES[number] ?? ['10.1.0.1', 'fd01::1']).map((ip_address) => ({ ip_address })),
  }));
  return parseTopology([{ file: 'random', content: { ...document, ports } }]).topology;
}

export function isHere(port: Port): boolean {
  return port.host === 'host-1';
}

export function contextOf(topology: Topology, datapath: Datapath): JudgeContext {
  const fixed = [...topology.ports.values()]
    .filter((port) => isHere(port) && port.filtering === 'filtered')
    .flatMap(({ fixedIps }) => fixedIps.map(({ text }) => text));
  return {
    topology,
    widestPairLength: DEFAULT_OPTIONS.widestPairLength,
    ...(datapath === 'routed' ? { addressesOfPorts: new Set(fixed) } : {}),
  };
}

export function portOfDevice(topology: Topology, name: string): Port | undefined {
  return [...topology.ports.values()].find((port) => isHere(port) && port.device === name);
}

/** Devices and addresses that take part. */
export function labPorts(datapath: Datapath): readonly LabPort[] {
  const local = isBridged(datapath) ? BRIDGED : LOCAL;
  return [
    ...local.map((number) => ({ device: device(number), addresses: ADDRESSES[number] ?? [], mac: mac(number) })),
    { device: UNKNOWN_DEVICE, addresses: ['10.0.0.66', 'fd00::66'], mac: 'fa:16:3e:00:00:66' },
  ];
}
