/** Two ports on one host, and packets between them. */
import { parseAddress, type Frame, type Prefix, type Transport } from '../../../compiler/model/index.js';
import { TCP } from './frame-bytes.js';
import type { Lab, LabPort, Shot } from './lab.js';

export const CLIENT = { device: 'tapclient00-00', mac: 'fa:16:3e:00:00:01', v4: '10.0.0.1', v6: 'fd00::1' };
export const SERVER = { device: 'tapserver00-00', mac: 'fa:16:3e:00:00:02', v4: '10.0.0.2', v6: 'fd00::2' };
export const OUTSIDE = { mac: '02:00:00:00:02:00', v4: '192.0.2.9', v6: '2001:db8::9' };
/** Devices and addresses of the two, for a lab. */
export const PAIR: readonly LabPort[] = [CLIENT, SERVER].map(({ device, v4, v6, mac }) => ({
  device,
  addresses: [v4, v6],
  mac,
}));
/** A third one, whose device no managed prefix closes. */
export const NAMED = { device: 'vnet7', mac: 'fa:16:3e:00:00:07', v4: '10.0.0.7', v6: 'fd00::7' };
/** The two and the third, for a lab. */
export const PAIR_AND_NAMED: readonly LabPort[] = [
  ...PAIR,
  { device: NAMED.device, addresses: [NAMED.v4, NAMED.v6], mac: NAMED.mac },
];
/** Of the network that they are in. */
export const PAIR_BRIDGE = 'brqnetwork';

export type Rule = Readonly<Record<string, unknown>>;

/** On the host whose agent is tested. */
export const HOST = 'host-1';
export const HERE: Rule = { 'binding:host_id': HOST };

export const EGRESS: readonly Rule[] = [{ direction: 'egress' }, { direction: 'egress', ethertype: 'IPv6' }];
export const allow = (protocol: string, port: number, fields: Rule = {}): Rule => ({
  direction: 'ingress',
  protocol,
  port_range_min: port,
  port_range_max: port,
  ...fields,
});

/** One of the two as Neutron describes it. */
export function portFields({ device, mac, v4, v6 }: typeof CLIENT, groups: readonly string[], fields: Rule = {}): Rule {
  return {
    id: device.slice(3),
    mac_address: mac,
    network_id: 'network',
    fixed_ips: [{ ip_address: v4 }, { ip_address: v6 }],
    security_groups: groups,
    ...fields,
  };
}

/** The two on the agent's host, in groups of their own; the client may send whatever it likes. */
export function pairDocument(serverRules: readonly Rule[], more: Rule = {}): Rule {
  return {
    security_groups: [
      { id: 'clients', name: 'clients', security_group_rules: EGRESS },
      { id: 'servers', name: 'servers', security_group_rules: serverRules },
    ],
    ports: [portFields(CLIENT, ['clients'], HERE), portFields(SERVER, ['servers'], HERE)],
    ...more,
  };
}

export function address(text: string): Prefix {
  const parsed = parseAddress(text);
  if (parsed === undefined) throw new Error(`not an address: ${text}`);
  return parsed;
}

export function ipFrame(sourceMac: string, source: string, destination: string, transport: Transport): Frame {
  return {
    sourceMac,
    vlanTags: [],
    snap: false,
    payload: { kind: 'ip', source: address(source), destination: address(destination), transport },
  };
}

export const ports = (protocol: 6 | 17, sourcePort: number, destinationPort: number): Transport => ({
  kind: 'ports',
  protocol,
  sourcePort,
  destinationPort,
});

export type Ends = 'v4' | 'v6';

/** A TCP or UDP packet from the client to the server's port, or back. */
export function forth(family: Ends, protocol: 6 | 17, port: number, tcpFlags: number = TCP.syn): Shot {
  return {
    device: CLIENT.device,
    frame: ipFrame(CLIENT.mac, CLIENT[family], SERVER[family], ports(protocol, 30_000, port)),
    tcpFlags,
  };
}

export function back(family: Ends, protocol: 6 | 17, port: number, tcpFlags: number = TCP.syn | TCP.ack): Shot {
  return {
    device: SERVER.device,
    frame: ipFrame(SERVER.mac, SERVER[family], CLIENT[family], ports(protocol, port, 30_000)),
    tcpFlags,
  };
}

/** Devices that each frame reached, one frame after another. */
export async function reachIn(lab: Lab, ...shots: readonly Shot[]): Promise<readonly (readonly string[])[]> {
  const results: (readonly string[])[] = [];
  for (const shot of shots) results.push(...(await lab.reach([shot])));
  return results;
}
