/**
 * Ports of this host -> connection tracking zones. They are assigned anew when an address begins or ceases to be in two networks, or
 * while one is; while a port has a wide address pair and there are several networks; when a bridge comes or goes, and with every
 * port of a bridge that networks share. Any other port is handled: it changes no zone.
 */
import { isExact, type Port } from '../model/index.js';
import { compareText } from '../host-policy.js';
import { isBridged, type Datapath } from '../datapath.js';
import { zonePart } from '../ruleset/zone-chains.js';
import { assignZones, exactAddresses, type ZoneAssignment } from '../zones.js';
import { HANDLED, type Calculator } from './calculator.js';
import type { Known, PortChange } from './known.js';
import type { HostTables } from './tables.js';

const ALL = ['all'] as const;

/** Key: all zones together. */
export class Zones implements Calculator<PortChange, 'all', never> {
  #assignment: ZoneAssignment;
  /** How many ports have an address, or a bridge, in a network. */
  readonly #uses = new Map<string, Map<string, number>>();
  readonly #networks = new Map<string, number>();
  /** Addresses in two networks or more. */
  readonly #contested = new Set<string>();
  /** Ports with a pair that is no single address. */
  #wide = 0;

  constructor(
    private readonly known: Known,
    private readonly tables: HostTables,
    private readonly datapath: Datapath,
  ) {
    this.#assignment = assignZones([], datapath);
  }

  get assignment(): ZoneAssignment {
    return this.#assignment;
  }

  /** @param change of a port of this host. */
  change({ kind, port }: PortChange): readonly 'all'[] {
    return this.#isMoved(port, kind === 'port-came' ? 1 : -1) ? ALL : HANDLED;
  }

  recompute(): readonly never[] {
    const before = { zones: this.#assignment };
    const ports = [...this.known.local.values()].sort((a, b) => compareText(a.device, b.device));
    const zones = assignZones(ports, this.datapath);
    this.#assignment = zones;
    for (const table of [this.tables.main, this.tables.beside]) {
      const old = zonePart(table.family, before, this.datapath);
      const wanted = zonePart(table.family, { zones }, this.datapath);
      for (const { name } of old.sets) table.deleteSet(name);
      for (const set of wanted.sets) table.addSet(set);
      for (const { name } of old.chains) table.deleteChain(name);
      for (const chain of wanted.chains) this.tables.setChain(chain, table);
    }
    return [];
  }

  /** Counts a port; true when zones may be others thereby. */
  #isMoved(port: Port, by: 1 | -1): boolean {
    const isWide = port.allowedAddressPairs.some(({ prefix }) => !isExact(prefix));
    const before = this.#isEntangled();
    if (isWide) this.#wide += by;
    adjust(this.#networks, port.networkId, by);
    let isMoved = before || this.#isEntangled();
    for (const address of new Set(exactAddresses(port))) {
      const { count } = this.#use(address, port.networkId, by);
      if (count > 1) {
        this.#contested.add(address);
        isMoved = true;
      } else if (this.#contested.delete(address)) isMoved = true;
    }
    if (!isBridged(this.datapath)) return isMoved;
    const { count, isFirstOrLast } = this.#use(`bridge ${port.bridge}`, port.networkId, by);
    // On a bridge of several networks each device may have a zone.
    return isMoved || isFirstOrLast || count > 1;
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
