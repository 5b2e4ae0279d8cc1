/**
 * Which ports are in force: those that are good, the last good versions of those that are not, and a closed device for each of the rest.
 *
 * A device belongs to one port of a host. Of several that claim one, the port that had it before keeps it, and no other gets it; where
 * none of them had it, nobody can say whose packets these are, and it is closed.
 */
import { closedPort } from '../closed-port.js';
import { quoteValue } from '../problem.js';
import { devicePlaces, placeKey, type DevicePlace, type Port, type SecurityGroup } from '../topology.js';
import type { Bad, Fate, Sorted } from './last-good.js';
import { claimedPlaces, mixesKinds } from './port.js';
import { field, type Item } from './report.js';

export interface PortsInForce {
  readonly ports: Map<string, Port>;
  readonly fates: readonly PortFate[];
}

export interface PortFate extends Fate<Port> {
  readonly closedDevices: readonly string[];
  /** That it claims, and that its last good version has. */
  readonly places: readonly DevicePlace[];
}

/** Whoever says that a device on a host is its own, by good fields or bad ones. */
interface Claimant {
  readonly id: string | undefined;
  readonly places: readonly DevicePlace[];
  readonly good: Port | undefined;
  readonly bad: Bad;
  /** What was in force of it before. */
  readonly before: Port | undefined;
}

/** @param items that the ports were read from. */
export function portsInForce(
  sorted: Sorted<Port>,
  badFates: readonly Fate<Port>[],
  items: readonly Item[],
  lastGood: ReadonlyMap<string, Port>,
  groups: ReadonlyMap<string, SecurityGroup>,
): PortsInForce {
  if (badFates.length === 0 && !isAnyPlaceShared(sorted.good.values()))
    return { ports: new Map(sorted.good), fates: [] };
  const claimants: Claimant[] = badFates.map(({ bad, id, kept }) => {
    return { id, places: placesClaimed(bad, id, kept), good: undefined, bad, before: kept };
  });
  for (const item of items) {
    const port = sorted.good.get(String(field(item.fields, 'id')));
    if (port === undefined) continue;
    const bad: Bad = { id: port.id, items: [item] };
    claimants.push({ id: port.id, places: devicePlaces(port), good: port, bad, before: lastGood.get(port.id) });
  }
  const byPlace = new Map<string, Claimant[]>();
  for (const claimant of claimants) {
    for (const place of claimant.places) {
      const key = placeKey(place);
      const same = byPlace.get(key);
      if (same === undefined) byPlace.set(key, [claimant]);
      else same.push(claimant);
    }
  }
  const losers = contested(byPlace, lastGood);
  const ports = new Map<string, Port>();
  const fates: PortFate[] = [];
  const rest: Claimant[] = [];
  for (const claimant of claimants) {
    const { good } = claimant;
    if (good !== undefined && !losers.has(claimant)) ports.set(good.id, good);
    else rest.push(claimant);
  }
  const open: Claimant[] = [];
  for (const claimant of rest) {
    const { id, before, bad } = claimant;
    // Who had a device before and still claims it keeps it; who claims another one has left it to whoever claims it now.
    const isFree = (place: DevicePlace): boolean => {
      const now = byPlace.get(placeKey(place)) ?? [];
      return now.length === 0 || now.includes(claimant);
    };
    const kept =
      before !== undefined && devicePlaces(before).every(isFree) && !mixesKinds(before.securityGroupIds, groups)
        ? { ...before, securityGroupIds: before.securityGroupIds.filter((group) => groups.has(group)) }
        : undefined;
    if (id === undefined || kept === undefined) open.push(claimant);
    else {
      ports.set(id, kept);
      fates.push({ bad, id, kept, closedDevices: [], places: [...claimant.places, ...devicePlaces(kept)] });
    }
  }
  fates.push(...closeDevices(open, ports));
  return { ports, fates };
}

function isAnyPlaceShared(ports: Iterable<Port>): boolean {
  const places = new Set<string>();
  for (const port of ports) {
    for (const place of devicePlaces(port)) {
      const key = placeKey(place);
      if (places.has(key)) return true;
      places.add(key);
    }
  }
  return false;
}

/** Where nothing of the sort can be read, what it had before. */
function placesClaimed({ items }: Bad, id: string | undefined, before: Port | undefined): readonly DevicePlace[] {
  const places = items.flatMap(({ fields, place }) => {
    const { devices, hosts } = claimedPlaces(fields, id, place);
    return devices.flatMap((device): DevicePlace[] =>
      hosts.length === 0 ? [{ device, host: undefined }] : hosts.map((host) => ({ device, host })),
    );
  });
  const distinct = [...new Map(places.map((place) => [placeKey(place), place])).values()];
  return distinct.length > 0 || before === undefined ? distinct : devicePlaces(before);
}

/** Tells of devices that several claim. @returns those who do not get what they claim. */
function contested(
  byPlace: ReadonlyMap<string, readonly Claimant[]>,
  lastGood: ReadonlyMap<string, Port>,
): ReadonlySet<Claimant> {
  const losers = new Set<Claimant>();
  const contests = [...byPlace].filter(([, claimants]) => claimants.length > 1);
  if (contests.length === 0) return losers;
  const holders = new Map(
    [...lastGood.values()].flatMap((port) => devicePlaces(port).map((place) => [placeKey(place), port.id])),
  );
  for (const [key, claimants] of contests) {
    const holder = claimants.find(({ id }) => id !== undefined && id === holders.get(key));
    const others = claimants.filter((claimant) => claimant !== holder);
    for (const other of others) losers.add(other);
    // Bad ones have said what is wrong with them.
    if (claimants.some(({ good }) => good !== undefined)) report(key, claimants, holder, others);
  }
  return losers;
}

function report(
  key: string,
  claimants: readonly Claimant[],
  holder: Claimant | undefined,
  others: readonly Claimant[],
): void {
  const names = claimants.map(({ id }) => id ?? 'one without a valid id').sort();
  const device = key.slice(0, key.indexOf(' '));
  const outcome = holder?.id === undefined ? 'none of them is used' : `${holder.id} had it before and keeps it`;
  // Told once, of the last of them; it is the fault of each.
  const sorted = [...others].sort((a, b) => ((a.id ?? '') < (b.id ?? '') ? -1 : 1));
  const [item] = sorted.at(-1)?.bad.items ?? [];
  if (item === undefined) return;
  item.place.error(
    'duplicate',
    `device ${quoteValue(device)} is that of ports ${names.join(' and ')}: a device belongs to one port of a host, ${outcome}`,
  );
  const fault = item.faults.at(-1);
  for (const { bad } of sorted.slice(0, -1)) if (fault !== undefined) bad.items[0].faults.push(fault);
}

/** No id of a topology has a colon. */
const CLOSED = 'invalid:';

/** Closes the devices of ports that have nothing in force, where they are nobody else's. */
function closeDevices(claimants: readonly Claimant[], ports: Map<string, Port>): readonly PortFate[] {
  if (claimants.length === 0) return [];
  const taken = new Set([...ports.values()].flatMap((port) => devicePlaces(port).map((place) => placeKey(place))));
  const devices = new Set([...ports.values()].map(({ device }) => device));
  return [...claimants]
    .sort((a, b) => ((a.id ?? '~') < (b.id ?? '~') ? -1 : 1))
    .map((claimant) => {
      const { id, bad, places } = claimant;
      const closed: string[] = [];
      for (const place of places) {
        const { device, host } = place;
        // Nobody knows on which host: on any that has it, unless it is somebody's.
        const isTaken = host === undefined ? devices.has(device) : taken.has(placeKey(place));
        if (isTaken) continue;
        closed.push(device);
        const isFirst = id !== undefined && !ports.has(id);
        const closedId = isFirst ? id : `${CLOSED}${id ?? ''}:${device}:${host ?? ''}`;
        const name = field(bad.items[0].fields, 'name');
        ports.set(closedId, closedPort({ id: closedId, name: typeof name === 'string' ? name : '', device, host }));
        taken.add(placeKey(place));
        devices.add(device);
      }
      return { bad, id, kept: undefined, closedDevices: [...new Set(closed)], places };
    });
}
