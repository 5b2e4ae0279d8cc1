/**
 * Notices when connection tracking zones must be assigned anew. On bridges that is when a network comes to the host or
 * leaves it, and with every port of a bridge that networks share; on routed hosts when an address begins or ceases to be in two networks, or while one is.
 */
import type { Port } from '../../src/model/index.js';
import { isBridged, type Datapath } from '../ruleset/types.js';
import { assignZones, exactAddresses, type ZoneAssignment } from '../zones.js';

export class ZoneTracker {
  /** How many ports have a network (by bridge), or an address in a network. */
  readonly #uses = new Map<string, Map<string, number>>();
  /** Addresses in two networks or more. */
  readonly #contested = new Set<string>();
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
    if (this.datapath === 'routed' && this.#contested.size > 0) this.#isDirty = true;
    const subjects = isBridged(this.datapath) ? [port.bridge] : exactAddresses(port);
    for (const subject of subjects) {
      const networks = this.#uses.get(subject) ?? new Map<string, number>();
      const count = (networks.get(port.networkId) ?? 0) + by;
      if (count === 0) networks.delete(port.networkId);
      else networks.set(port.networkId, count);
      if (networks.size === 0) this.#uses.delete(subject);
      else this.#uses.set(subject, networks);
      const isFirstOrLast = count === (by === 1 ? 1 : 0);
      // On a bridge of several networks each device may have a zone.
      if (isBridged(this.datapath)) this.#isDirty ||= isFirstOrLast || networks.size > 1;
      else if (networks.size > 1) {
        this.#contested.add(subject);
        this.#isDirty = true;
      } else this.#contested.delete(subject);
    }
  }
}
