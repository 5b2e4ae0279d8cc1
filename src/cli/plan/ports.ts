/** Ports: by their devices, which is what the kernel knows of them. */
import type { HostPolicy, TableState } from '../../../compiler/index.js';
import type { Port, Topology } from '../../model/index.js';
import type { PlanLine, Side } from './line.js';
import { shownName } from './names.js';

/** Rules of a profile that no group has. */
const OF_EVERY_PORT =
  /^(checks that every port shares|service traffic|not let through|no rule allows it|answers of DHCP servers|the ports have no IPv[46] address)$/;

const PROFILE = /^(?:goto|jump) (profile_\w+)$/;

export function portLines(before: Side, after: Side, policy: HostPolicy, topology: Topology): readonly PlanLine[] {
  const ports = new Map(policy.ports.map((port) => [port.device, port]));
  /** A port that is elsewhere now still has its name. */
  const known = new Map([...topology.ports.values()].map((port) => [port.device, port]));
  const [old, fresh] = [verdictsIn(before), verdictsIn(after)];
  const [oldAddresses, freshAddresses] = [addressesIn(before), addressesIn(after)];
  const devices = [...new Set([...old.keys(), ...fresh.keys()])].sort();
  return devices.flatMap((device): readonly PlanLine[] => {
    const [was, becomes] = [old.get(device), fresh.get(device)];
    const name = nameOf(ports.get(device) ?? known.get(device), device);
    const line = (sign: PlanLine['sign'], text: string): PlanLine => ({
      sign,
      kind: 'port',
      subject: device,
      text: `${name}: ${text}`,
    });
    if (becomes === undefined) return [line('-', 'its device is none of ours any more')];
    if (was === undefined) return [line('+', stateIn(after, becomes))];
    const [stateBefore, stateAfter] = [stateIn(before, was), stateIn(after, becomes)];
    // What is closed, or not filtered, has no addresses that it could lose.
    const isFiltered = PROFILE.test(was) && PROFILE.test(becomes);
    const addresses = isFiltered ? changedAddresses(oldAddresses.get(device), freshAddresses.get(device)) : '';
    return [
      ...(stateBefore === stateAfter ? [] : [line('~', `${stateBefore} → ${stateAfter}`)]),
      ...(addresses === '' ? [] : [line('~', `may send from: ${addresses}`)]),
    ];
  });
}

function nameOf(port: Port | undefined, device: string): string {
  return port === undefined ? `device ${device}` : `port ${shownName(port)} (${device})`;
}

/** By device, what becomes of what it sends. */
function verdictsIn({ state }: Side): ReadonlyMap<string, string> {
  const elements = state.sets.get('from_port')?.elements ?? new Map<string, string>();
  return new Map([...elements].map(([device, verdict]) => [device.replaceAll('"', ''), verdict]));
}

/** "groups db, web", "closed", "not filtered" */
function stateIn({ state }: Side, verdict: string): string {
  const profile = PROFILE.exec(verdict)?.[1];
  if (profile === undefined) return verdict === 'drop' ? 'closed' : 'not filtered';
  const labels = (state.chains.get(profile)?.comments ?? []).map((comment) => comment.replace(/^[0-9a-f]{8} /, ''));
  const groups = labels.filter((label) => !OF_EVERY_PORT.test(label));
  if (groups.length === 0) return 'no groups';
  return `${groups.length === 1 ? 'group' : 'groups'} ${groups.join(', ')}`;
}

const SOURCES = ['sources4', 'sources6', 'source_prefixes4', 'source_prefixes6'];

/** By device, without those that every port has. */
function addressesIn({ state }: Pick<Side, 'state'>): ReadonlyMap<string, ReadonlySet<string>> {
  const addresses = new Map<string, Set<string>>();
  for (const set of SOURCES) {
    for (const key of state.sets.get(set)?.elements.keys() ?? []) {
      const [device = '', , address = ''] = key.split(' . ');
      if (address.startsWith('fe80:')) continue;
      const name = device.replaceAll('"', '');
      addresses.set(name, (addresses.get(name) ?? new Set()).add(address));
    }
  }
  return addresses;
}

/** What no port of this host may send from any more. */
export function addressesGone(before: TableState, after: TableState): readonly string[] {
  const stays = new Set([...addressesIn({ state: after }).values()].flatMap((addresses) => [...addresses]));
  const all = [...addressesIn({ state: before }).values()].flatMap((addresses) => [...addresses]);
  return [...new Set(all)].filter((address) => !stays.has(address));
}

const NONE: ReadonlySet<string> = new Set();

function changedAddresses(before = NONE, after = NONE): string {
  const gone = [...before].filter((address) => !after.has(address)).map((address) => `- ${address}`);
  const come = [...after].filter((address) => !before.has(address)).map((address) => `+ ${address}`);
  return [...gone, ...come].join(', ');
}
