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

export class Wanted {
  readonly ruleset: Ruleset;
  #dump: string | undefined;

  constructor(
    private readonly circumstances: Circumstances,
    private readonly options: CompileOptions,
  ) {
    this.ruleset = this.#compile();
  }

  /** As the kernel's is printed. */
  get dump(): string {
    this.#dump ??= dump(fakeTables(this.ruleset.tables));
    return this.#dump;
  }

  #compile(): Ruleset {
    const { topology, refused, known } = this.circumstances;
    const here = portsHere(this.circumstances).map((port): Port => {
      return refused.has(port.id)
        ? { ...port, filtering: 'down', securityGroupIds: [], allowedAddressPairs: [] }
        : port;
    });
    const used = new Set(here.map(({ device }) => device));
    const former = [...known]
      .filter((device) => !used.has(device) && !isManagedDevice(this.options, device))
      .map((device) => closedPort({ id: `closed:${device}`, device, filtering: 'down' }));
    const ports = new Map(topology.ports);
    for (const port of [...here, ...former]) ports.set(port.id, port);
    const isLocal = (port: Port): boolean => port.id.startsWith('closed:') || isOnHost(port, HOST);
    return compile({ ...topology, ports }, isLocal, this.options).ruleset;
  }
}
