/**
 * Stands between the source and the enforcement: a whole topology from which this host's ports have gone is not obeyed until somebody
 * says that it is meant. A source that lost its content looks the same as one that means it; single changes do not.
 */
import {
  applyTo,
  diffTopologies,
  EMPTY_TOPOLOGY,
  type AddressGroup,
  type Port,
  type SecurityGroup,
  type Topology,
  type TopologyChanges,
} from '../compiler/model/index.js';

/** So many ports must be known for their going by half to be suspect; fewer only when all are gone. */
const MANY = 10;

export type Passage =
  /** What changes by it, of what was obeyed before; nothing changes when the same is said again. */
  | { readonly kind: 'obeyed'; readonly changes: TopologyChanges }
  /** Not obeyed: why, and what would be valid. */
  | { readonly kind: 'held'; readonly reason: string };

/** A topology that changes in place. */
interface Known extends Topology {
  readonly ports: Map<string, Port>;
  readonly securityGroups: Map<string, SecurityGroup>;
  readonly addressGroups: Map<string, AddressGroup>;
}

export class SourceGate {
  /** Devices of this host's ports as they are in force, by id; those that are closed may go. */
  #devices = new Map<string, string>();
  #inForce = known(EMPTY_TOPOLOGY);
  /** What is not obeyed, as it is by now. */
  #held: Known | undefined;
  #reason = '';
  #isOfAnotherTime = false;

  /** @param mayShrink true where every topology is obeyed, however few of the ports are left. */
  constructor(
    private readonly isLocal: (port: Port) => boolean,
    private readonly mayShrink: boolean,
  ) {}

  /** What was obeyed last: what bad objects keep. */
  get inForce(): Topology {
    return this.#inForce;
  }

  /** Devices that the kernel knows as ports' before the first topology came. */
  remember(devices: Iterable<string>): void {
    for (const device of devices) this.#devices.set(`device ${device}`, device);
  }

  /** @param doubt why the source itself doubts it; undefined when it does not. */
  whole(topology: Topology, doubt: string | undefined): Passage {
    const doubted = this.#devices.size === 0 ? undefined : doubt;
    const reason = doubted ?? this.#shrinkage(topology);
    this.#isOfAnotherTime = doubted !== undefined;
    if (reason === undefined) return { kind: 'obeyed', changes: this.#pass(topology) };
    this.#held = known(topology);
    this.#reason = `${reason}: not obeyed without \`portcullis accept\`, or until the next whole that is well`;
    return { kind: 'held', reason: this.#reason };
  }

  changes(changes: TopologyChanges): Passage {
    if (this.#held !== undefined) {
      apply(changes, this.#held);
      return { kind: 'held', reason: this.#reason };
    }
    for (const [id, port] of changes.ports) {
      if (port !== undefined && this.#counts(port)) this.#devices.set(id, port.device);
      else this.#devices.delete(id);
    }
    apply(changes, this.#inForce);
    return { kind: 'obeyed', changes };
  }

  /** Somebody says that what is held is meant. @returns what changes by it; undefined when nothing is held. */
  accept(): TopologyChanges | undefined {
    return this.#held === undefined ? undefined : this.#pass(this.#held);
  }

  get isHolding(): boolean {
    return this.#held !== undefined;
  }

  /** What is held is of another store, or of another time: its revisions say nothing of what is in force. */
  get isOfAnotherTime(): boolean {
    return this.isHolding && this.#isOfAnotherTime;
  }

  #pass(topology: Topology): TopologyChanges {
    this.#held = undefined;
    const changes = diffTopologies(this.#inForce, topology);
    apply(changes, this.#inForce);
    this.#inForce = { ...this.#inForce, networks: topology.networks, subnets: topology.subnets };
    const ports = [...topology.ports.values()].filter((port) => this.#counts(port));
    this.#devices = new Map(ports.map(({ id, device }) => [id, device]));
    return changes;
  }

  /** Of the ports that are missed when they go. A bad one is there as long as its last good version is, or as its device is closed. */
  #counts(port: Port): boolean {
    return port.filtering !== 'closed' && this.isLocal(port);
  }

  #shrinkage(topology: Topology): string | undefined {
    if (this.mayShrink) return undefined;
    const local = [...topology.ports.values()].filter(this.isLocal);
    const devices = new Set(local.map(({ device }) => device));
    const ids = new Set(local.map(({ id }) => id));
    const before = this.#devices.size;
    const left = [...this.#devices].filter(([id, device]) => ids.has(id) || devices.has(device)).length;
    const gone = before - left;
    if (gone === 0 || (left > 0 && (before < MANY || 2 * gone <= before))) return undefined;
    return `${left === 0 ? 'all' : gone.toString()} of this host's ${before.toString()} ports are gone at once (--allow-shrink permits it)`;
  }
}

function known(topology: Topology): Known {
  return {
    ...topology,
    ports: new Map(topology.ports),
    securityGroups: new Map(topology.securityGroups),
    addressGroups: new Map(topology.addressGroups),
  };
}

function apply(changes: TopologyChanges, to: Known): void {
  applyTo(to.ports, changes.ports);
  applyTo(to.securityGroups, changes.securityGroups);
  applyTo(to.addressGroups, changes.addressGroups);
}
