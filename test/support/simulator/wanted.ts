/** What the kernel should hold, from scratch: a policy, the links that are there, and what the kernel refuses. */
import { compile, isManagedDevice, type CompileOptions, type Ruleset } from '../../../compiler/index.js';
import { closedPort, isOnHost, type Port, type Topology } from '../../../compiler/model/index.js';
import type { Link } from '../../../agent/netlink/links.js';
import { HOST } from './script.js';
import { dump, fakeTables } from './tables.js';

export interface Circumstances {
  readonly topology: Topology;
  readonly links: ReadonlyMap<string, Link>;
  /** Ids of ports that the agent closed, since the kernel refused them. */
  readonly refused: ReadonlySet<string>;
  /** Devices that were ports', for all that the agent knows. */
  readonly known: ReadonlySet<string>;
}

/** Ports of the host, with the devices that they have here. */
export function portsHere({ topology, links }: Pick<Circumstances, 'topology' | 'links'>): readonly Port[] {
  const here = [...topology.ports.values()].filter((port) => isOnHost(port, HOST));
  const owned = new Set(here.map(({ device }) => device));
  return here.map((port) => {
    if (links.has(port.device)) return port;
    const aliased = [...links.values()]
      .filter(({ alias }) => alias === `port:${port.id}`)
      .sort((a, b) => a.index - b.index)[0]?.name;
    return aliased === undefined || owned.has(aliased) ? port : { ...port, device: aliased };
  });
}

/** What was wanted last, here or in a script before: half of all is wanted more than once, and every script begins alike. */
const lately = new Map<string, Wanted>();
const LATELY = 50;
const topologies = new WeakMap<Topology, number>();
let topologyCount = 0;

export class Wanted {
  #dump: string | undefined;

  private constructor(readonly ruleset: Ruleset) {}

  static of(circumstances: Circumstances, options: CompileOptions): Wanted {
    const { topology } = circumstances;
    const ports = portsWanted(circumstances, options);
    if (!topologies.has(topology)) topologies.set(topology, topologyCount++);
    // All that `portsWanted` gives a port that the topology does not: one that is refused has lost its groups besides.
    const forms = ports.map(({ id, device, filtering }) => [id, device, filtering, circumstances.refused.has(id)]);
    const key = JSON.stringify([topologies.get(topology), forms, options]);
    const wanted = lately.get(key) ?? new Wanted(compiled(topology, ports, options));
    // The last one of them is the one that was asked for last.
    lately.delete(key);
    lately.set(key, wanted);
    for (const [oldest] of lately) {
      if (lately.size <= LATELY) break;
      lately.delete(oldest);
    }
    return wanted;
  }

  /** As the kernel's is printed. */
  get dump(): string {
    this.#dump ??= dump(fakeTables(this.ruleset.tables));
    return this.#dump;
  }
}

/** Of the host, as they are to be: those that are refused closed, and one more for each device that was a port's. */
function portsWanted(circumstances: Circumstances, options: CompileOptions): readonly Port[] {
  const { refused, known } = circumstances;
  const here = portsHere(circumstances).map((port): Port => {
    return refused.has(port.id) ? { ...port, filtering: 'down', securityGroupIds: [], allowedAddressPairs: [] } : port;
  });
  const used = new Set(here.map(({ device }) => device));
  const former = [...known]
    .filter((device) => !used.has(device) && !isManagedDevice(options, device))
    .map((device) => closedPort({ id: `closed:${device}`, device, filtering: 'down' }));
  return [...here, ...former];
}

function compiled(topology: Topology, wanted: readonly Port[], options: CompileOptions): Ruleset {
  const ports = new Map(topology.ports);
  for (const port of wanted) ports.set(port.id, port);
  const isLocal = (port: Port): boolean => port.id.startsWith('closed:') || isOnHost(port, HOST);
  return compile({ ...topology, ports }, isLocal, options).ruleset;
}
