/** Ports: by their devices, which is what the kernel knows of them. */
import type { HostPolicy } from '../../../compiler/index.js';
import type { Port, Topology } from '../../../compiler/model/index.js';
import type { PlanLine, Side } from './line.js';
import { shownName } from './names.js';

export function portLines(before: Side, after: Side, policy: HostPolicy, topology: Topology): readonly PlanLine[] {
  const ports = new Map(policy.ports.map((port) => [port.device, port]));
  /** A port that is elsewhere now still has its name. */
  const known = new Map([...topology.ports.values()].map((port) => [port.device, port]));
  const devices = [...new Set([...before.ports.keys(), ...after.ports.keys()])].sort();
  return devices.flatMap((device): readonly PlanLine[] => {
    const [was, becomes] = [before.ports.get(device), after.ports.get(device)];
    const name = nameOf(ports.get(device) ?? known.get(device), device);
    const line = (sign: PlanLine['sign'], text: string): PlanLine => ({
      sign,
      kind: 'port',
      subject: device,
      text: `${name}: ${text}`,
    });
    if (becomes === undefined) return [line('-', 'its device is none of ours any more')];
    if (was === undefined) return [line('+', becomes.state)];
    // What is closed, or not filtered, has no addresses that it could lose.
    const isFiltered = was.isFiltered && becomes.isFiltered;
    const addresses = isFiltered ? changedAddresses(was.addresses, becomes.addresses) : '';
    return [
      ...(was.state === becomes.state ? [] : [line('~', `${was.state} → ${becomes.state}`)]),
      ...(addresses === '' ? [] : [line('~', `may send from: ${addresses}`)]),
    ];
  });
}

function nameOf(port: Port | undefined, device: string): string {
  return port === undefined ? `device ${device}` : `port ${shownName(port)} (${device})`;
}

/** What no port of this host may send from any more. */
export function addressesGone(before: Side, after: Side): readonly string[] {
  const all = ({ ports }: Side): readonly string[] => [...ports.values()].flatMap(({ addresses }) => [...addresses]);
  const stays = new Set(all(after));
  return [...new Set(all(before))].filter((address) => !stays.has(address));
}

/** In an order of their own: a listing has none. */
function changedAddresses(before: ReadonlySet<string>, after: ReadonlySet<string>): string {
  const gone = [...before].filter((address) => !after.has(address)).sort();
  const come = [...after].filter((address) => !before.has(address)).sort();
  return [...gone.map((address) => `- ${address}`), ...come.map((address) => `+ ${address}`)].join(', ');
}
