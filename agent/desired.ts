/**
 * What the kernel should hold: the topology, with the devices that are here, the ports that the kernel refused and the devices that
 * were ports' once, all of it given to the compiler.
 */
import { HostCompiler, type CompileOptions } from '../compiler/index.js';
import { isEmpty, isUnfiltered, type Port, type TopologyChanges } from '../compiler/model/index.js';
import { FormerDevices, isFormerDevice } from './former.js';
import { LiveTopology } from './live-topology.js';

export class Desired {
  readonly compiler: HostCompiler;
  readonly live: LiveTopology;
  readonly #former: FormerDevices;
  /** True for what the compiler takes for a port of this host. */
  readonly isOurs: (port: Port) => boolean;

  /** @param onChange is called before changes are given to the compiler, with whether there are any. */
  constructor(
    isLocal: (port: Port) => boolean,
    options: CompileOptions,
    private readonly onChange: (isAny: boolean) => void,
  ) {
    this.isOurs = (port) => isFormerDevice(port) || isLocal(port);
    this.compiler = new HostCompiler(this.isOurs, options);
    this.live = new LiveTopology(isLocal);
    this.#former = new FormerDevices(options);
  }

  change(changes: TopologyChanges): void {
    this.#update(this.live.change(changes));
  }

  /** Ports of this host are something else here. */
  changePorts(ports: ReadonlyMap<string, Port>): void {
    this.#update({ ports, securityGroups: new Map(), addressGroups: new Map() });
  }

  /** Devices that were ports' before this process began: they stay closed when no port has them. */
  remember(devices: Iterable<string>): void {
    this.#former.remember(devices);
  }

  /** Leaves a former device alone. @returns false when it is none. */
  release(device: string): boolean {
    if (!this.#former.release(device)) return false;
    this.changePorts(new Map());
    return true;
  }

  /** Devices that are closed since they were a port's once. */
  get formerDevices(): readonly string[] {
    return this.#former.devices;
  }

  /** Those that are or were ports', of those that the managed prefix does not close, but for ports that are not filtered. */
  devicesToClose(): readonly string[] {
    const { known } = this.#former;
    if (known.length === 0) return known;
    const open = new Set([...this.live.ports()].flatMap((port) => (isUnfiltered(port) ? [port.device] : [])));
    return known.filter((device) => !open.has(device));
  }

  #update(changes: TopologyChanges): void {
    for (const id of changes.ports.keys()) {
      const device = this.live.deviceOf(id);
      if (device !== undefined) this.#former.remember([device]);
    }
    const former = this.#former.update(() => [...this.live.ports()].map(({ device }) => device));
    const all = former.size === 0 ? changes : { ...changes, ports: new Map([...changes.ports, ...former]) };
    const isAny = !isEmpty(all);
    this.onChange(isAny);
    if (isAny) this.compiler.update(all);
  }
}
