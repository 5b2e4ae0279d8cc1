/**
 * This host's ports as the source gave them and as they are here: with the devices that they have, and closed where the kernel refused
 * them. Whatever either depends on is told here, and what it changes comes out. Ports of other hosts only pass through.
 */
import type { Port, TopologyChanges } from '../compiler/model/index.js';
import { bind } from './binder.js';
import { LinkTable } from './devices.js';
import type { LinkEvent } from './watch/events.js';

/** A port of this host. */
interface PortHere {
  readonly given: Port;
  /** With the device that it has here. */
  readonly port: Port;
  /** When it last changed. */
  readonly since: Date;
}

/** The kernel refused the rules of a port for the device that it had: for another one they may be taken. */
interface Refusal {
  readonly device: string;
  /** What it said. */
  readonly why: string;
}

export class LiveTopology {
  readonly links = new LinkTable();
  readonly #here = new Map<string, PortHere>();
  /** Ids of ports of this host by their own device names. */
  readonly #owners = new Map<string, string>();
  /** Ports that the kernel refused. */
  readonly #refused = new Map<string, Refusal>();

  constructor(private readonly isLocal: (port: Port) => boolean) {}

  /** Takes what the source changed. @returns the same, with ports of this host as they are here. */
  change(changes: TopologyChanges): TopologyChanges {
    /** Names that had another owner before. */
    const names = new Set<string>();
    for (const id of changes.ports.keys()) {
      const own = this.#here.get(id)?.given.device;
      if (own === undefined) continue;
      this.#here.delete(id);
      if (this.#owners.get(own) === id) this.#owners.delete(own);
      names.add(own);
    }
    const local = [...changes.ports.values()].flatMap((port) =>
      port !== undefined && this.isLocal(port) ? [port] : [],
    );
    for (const { device, id } of local) {
      this.#owners.set(device, id);
      names.add(device);
    }
    const ports = new Map(changes.ports);
    for (const port of local) ports.set(port.id, this.#bind(port));
    // Whoever had a name by an alias gives it to the port whose own it is, and may have it when that is gone.
    for (const [id, port] of this.#moved([...names].flatMap((name) => this.links.portOf(name) ?? []))) {
      if (!changes.ports.has(id)) ports.set(id, port);
    }
    return { ...changes, ports };
  }

  /** Takes news of links. @returns ports of this host that have another device now. */
  changeLinks(event: LinkEvent): ReadonlyMap<string, Port> {
    const touched = this.links.take(event);
    const ids = new Set(touched.ports);
    for (const name of touched.names) {
      const owner = this.#owners.get(name);
      if (owner !== undefined) ids.add(owner);
    }
    return this.#moved(ids);
  }

  /** Closes ports that the kernel refused. @returns them, as they are now. */
  refuse(ports: readonly Port[], why: string): ReadonlyMap<string, Port> {
    for (const { id, device } of ports) this.#refused.set(id, { device, why });
    return this.#boundAnew(ports.map(({ id }) => id));
  }

  /** Opens again what the kernel refused. @returns these ports; empty for none. */
  refuseNone(): ReadonlyMap<string, Port> {
    const ids = [...this.#refused.keys()];
    this.#refused.clear();
    return this.#boundAnew(ids);
  }

  /** What the kernel said of a port that it refused; undefined for all others. */
  refusal(id: string): string | undefined {
    return this.#refused.get(id)?.why;
  }

  /** Ports that the kernel refused, by id, and what it said. */
  get refusals(): ReadonlyMap<string, string> {
    return new Map([...this.#refused].map(([id, { why }]) => [id, why]));
  }

  /** This host's ports, with the devices that they have here. */
  *ports(): Iterable<Port> {
    for (const { port } of this.#here.values()) yield port;
  }

  /** The device that a port of this host has here; undefined for others. */
  deviceOf(id: string): string | undefined {
    return this.#here.get(id)?.port.device;
  }

  /** True for a device of a port of this host, and for a name that one has as its own. */
  isPortDevice(name: string): boolean {
    return this.#owners.has(name) || [...this.ports()].some(({ device }) => device === name);
  }

  /** When a port of this host last changed. */
  since(id: string): Date {
    return this.#here.get(id)?.since ?? new Date();
  }

  #moved(ids: Iterable<string>): ReadonlyMap<string, Port> {
    const moved = new Map<string, Port>();
    for (const id of ids) {
      const before = this.#here.get(id)?.port.device;
      for (const [, port] of this.#boundAnew([id])) if (port.device !== before) moved.set(id, port);
    }
    return moved;
  }

  #boundAnew(ids: Iterable<string>): ReadonlyMap<string, Port> {
    const bound = new Map<string, Port>();
    for (const id of ids) {
      const port = this.#here.get(id)?.given;
      if (port !== undefined) bound.set(id, this.#bind(port));
    }
    return bound;
  }

  #bind(given: Port): Port {
    const owner = (device: string): string | undefined => this.#owners.get(device);
    const refusal = this.#refused.get(given.id);
    const port = bind(given, this.links, owner, refusal?.device);
    if (refusal !== undefined && refusal.device !== port.device) this.#refused.delete(port.id);
    this.#here.set(port.id, { given, port, since: new Date() });
    return port;
  }
}
