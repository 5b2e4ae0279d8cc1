/**
 * Devices that were ports' once and are none's now. They stay closed, whatever their names, until somebody says otherwise: a port
 * that leaves the topology must not open its device. To the compiler each is a port that is down.
 */
import { isManagedDevice, type CompileOptions } from '../compiler/index.js';
import { closedPort, type Port, type Topology } from '../compiler/model/index.js';

/** No id of a topology has a colon. */
const ID = 'closed:';

export class FormerDevices {
  /** Names that are or were a local port's. */
  readonly #known = new Set<string>();
  /** As they were told last. */
  #closed = new Map<string, Port>();

  /** @param managed devices of these prefixes are closed without us when they are none's. */
  constructor(private readonly managed: Pick<CompileOptions, 'devicePrefixes'>) {}

  /** Devices that are ports', or were before this process began. */
  remember(devices: Iterable<string>): void {
    for (const device of devices) if (!isManagedDevice(this.managed, device)) this.#known.add(device);
  }

  /**
   * @param current asks for the devices of the local ports now; they are remembered.
   * @returns what changes, as ports of the compiler; empty for nothing.
   */
  update(current: () => Iterable<string>): ReadonlyMap<string, Port | undefined> {
    const changes = new Map<string, Port | undefined>();
    if (this.#known.size + this.#closed.size === 0) return changes;
    const inUse = new Set(current());
    const closed = new Map<string, Port>();
    for (const device of this.#known) {
      if (inUse.has(device)) continue;
      const port = this.#closed.get(device) ?? formerPort(device);
      closed.set(device, port);
      if (!this.#closed.has(device)) changes.set(port.id, port);
    }
    for (const [device, { id }] of this.#closed) if (!closed.has(device)) changes.set(id, undefined);
    this.#closed = closed;
    return changes;
  }

  /** It is no business of ours any more. @returns false when it is none of these. */
  release(device: string): boolean {
    return this.#closed.has(device) && this.#known.delete(device);
  }

  /** Devices that are or were a local port's. */
  get known(): readonly string[] {
    return [...this.#known].sort();
  }

  get devices(): readonly string[] {
    return [...this.#closed.keys()].sort();
  }
}

export function isFormerDevice({ id }: Port): boolean {
  return id.startsWith(ID);
}

/** A port that closes a device and says nothing else. */
function formerPort(device: string): Port {
  return closedPort({ id: `${ID}${device}`, device, filtering: 'down' });
}

/**
 * A topology that closes the devices which are loaded as ports' and are none's now, for who loads once and has no memory.
 * @param loaded as {@link readLoadedDevices} gives them.
 * @param managed devices of these prefixes are closed without us.
 */
export function withFormerDevices(
  topology: Topology,
  isLocal: (port: Port) => boolean,
  loaded: Iterable<string>,
  managed: Pick<CompileOptions, 'devicePrefixes'>,
): { readonly topology: Topology; readonly isLocal: (port: Port) => boolean } {
  const former = new FormerDevices(managed);
  former.remember(loaded);
  const devices = [...topology.ports.values()].filter(isLocal).map(({ device }) => device);
  const ports = new Map(topology.ports);
  for (const [id, port] of former.update(() => devices)) if (port !== undefined) ports.set(id, port);
  return { topology: { ...topology, ports }, isLocal: (port) => isFormerDevice(port) || isLocal(port) };
}
