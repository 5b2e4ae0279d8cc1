/**
 * Notices when connection tracking zones must be assigned anew: when an address begins or ceases to be in two networks, or
 * while one is; while a port has a wide address pair and there are several networks; when a bridge comes or goes, and with every
 * port of a bridge that networks share.
 */
import { isExact, type Port } from '../model/index.js';
import { isBridged, type Datapath } from '../datapath.js';
import { assignZones, exactAddresses, type ZoneAssignment } from '../zones.js';

export class ZoneTracker {
  /** How many ports have an address, or a bridge, in a network. */
  readonly #uses = new Map<string, Map<string, number>>();
  readonly #networks = new Map<string, number>();
  /** Addresses in two networks or more. */
  readonly #contested = new Set<string>();
  /** Ports with a pair that is no single address. */
  #wide = 0;
  #isDirty = false;

  constructor(private readonly datapath: Datapath) {}

  add(port: Port): void {
    this.#count(port, 1);
  }

  delete(port: Port): void {
    this.#count(port, -1);
  }

  /** True when zones must be assigned anew; from now on they count as assigned. */
  takeDirty(): boolean {
    const isDirty = this.#isDirty;
    this.#isDirty = false;
    return isDirty;
  }

  assign(ports: readonly Port[]): ZoneAssignment {
    return assignZones(
      [...ports].sort((a, b) => (a.device < b.device ? -1 : 1)),
      this.datapath,
    );
  }

  #count(port: Port, by: 1 | -1): void {
    const isWide = port.allowedAddressPairs.some(({ prefix }) => !isExact(prefix));
    const before = this.#isEntangled();
    if (isWide) this.#wide += by;
    adjust(this.#networks, port.networkId, by);
    this.#isDirty ||= before || this.#isEntangled();
    for (const address of new Set(exactAddresses(port))) {
      const { count } = this.#use(address, port.networkId, by);
      if (count > 1) {
        this.#contested.add(address);
        this.#isDirty = true;
      } else if (this.#contested.delete(address)) this.#isDirty = true;
    }
    if (!isBridged(this.datapath)) return;
    const { count, isFirstOrLast } = this.#use(`bridge ${port.bridge}`, port.networkId, by);
    // On a bridge of several networks each device may have a zone.
    this.#isDirty ||= isFirstOrLast || count > 1;
  }

  #isEntangled(): boolean {
    return this.#contested.size > 0 || (this.#wide > 0 && this.#networks.size > 1);
  }

  /** @returns how many networks use it now, and whether the port is the first, or was the last, of its network. */
  #use(subject: string, networkId: string, by: 1 | -1): { readonly count: number; readonly isFirstOrLast: boolean } {
    const networks = this.#uses.get(subject) ?? new Map<string, number>();
    const uses = adjust(networks, networkId, by);
    if (networks.size === 0) this.#uses.delete(subject);
    else this.#uses.set(subject, networks);
    return { count: networks.size, isFirstOrLast: uses === (by === 1 ? 1 : 0) };
  }
}

function adjust(counts: Map<string, number>, key: string, by: 1 | -1): number {
  const count = (counts.get(key) ?? 0) + by;
  if (count === 0) counts.delete(key);
  else counts.set(key, count);
  return count;
}
