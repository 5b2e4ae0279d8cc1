/** Says which objects of the topology are bad, once when they become so and once when they are not any more. */
import {
  consequenceOf,
  formatIsolation,
  formatProblem,
  isolatedName,
  isolationKey,
  type Isolation,
  type Port,
} from '../compiler/model/index.js';
import type { Tell } from './events.js';
import type { IsolatedStatus } from './status.js';

/** More at a time are counted. */
const MOST_SAID = 20;

export class IsolatedObjects {
  #known = new Map<string, Isolation>();
  /** Those of ports, by id and by the devices that are closed for them. */
  #byPort = new Map<string, Isolation>();
  /** Ids of this host's ports. */
  #local: ReadonlySet<string> = new Set();

  constructor(
    private readonly host: string,
    private readonly tell: Tell,
  ) {}

  /** @param local this host's ports, by these isolations. */
  update(isolations: readonly Isolation[], local: Iterable<Port>): void {
    const before = this.#known;
    this.#known = new Map(isolations.map((isolation) => [isolationKey(isolation), isolation]));
    if (before.size + this.#known.size === 0) return;
    const ofPorts = isolations.filter(({ kind }) => kind === 'port');
    this.#byPort = new Map(
      ofPorts.flatMap((one) => [
        ...one.closedDevices.map((device) => [deviceKey(device), one] as const),
        ...(one.id === undefined ? [] : [[one.id, one] as const]),
      ]),
    );
    this.#local = new Set([...local].map(({ id }) => id));
    const came = [...this.#known].filter(([key, now]) => {
      const old = before.get(key);
      return old === undefined || formatIsolation(old) !== formatIsolation(now);
    });
    for (const [, isolation] of came.slice(0, MOST_SAID)) {
      this.tell({
        kind: 'isolated',
        isolation,
        ports: this.#portsHere(isolation),
        isHere: this.#isHere(isolation),
      });
    }
    if (came.length > MOST_SAID) {
      this.tell({ kind: 'more-isolated', count: came.length - MOST_SAID });
    }
    const went = [...before].filter(([key]) => !this.#known.has(key));
    for (const [, isolation] of went.slice(0, MOST_SAID)) {
      this.tell({ kind: 'not-isolated', name: isolatedName(isolation) });
    }
  }

  status(): readonly IsolatedStatus[] {
    return [...this.#known.values()].map((isolation) => ({
      object: isolatedName(isolation),
      inForce: isolation.isKept ? 'last good version' : 'nothing',
      consequence: consequenceOf(isolation),
      problems: isolation.problems.map((problem) => formatProblem(problem)),
      ports: this.#portsHere(isolation),
      isHere: this.#isHere(isolation),
    }));
  }

  /** What is wrong with a port itself; undefined for nothing. */
  ofPort({ id, device, filtering }: Port): string | undefined {
    const ofDevice = filtering === 'closed' ? this.#byPort.get(deviceKey(device)) : undefined;
    const isolation = this.#byPort.get(id) ?? ofDevice;
    return isolation === undefined ? undefined : formatIsolation(isolation);
  }

  #portsHere({ portIds }: Isolation): readonly string[] {
    return portIds.filter((id) => this.#local.has(id));
  }

  /** Of what cannot be named nobody knows whom it concerns. */
  #isHere(isolation: Isolation): boolean {
    const { kind, id, groupId, hosts } = isolation;
    if (kind === 'port') return hosts.length === 0 || hosts.includes(this.host);
    const isKnown = kind === 'security group rule' ? groupId !== undefined : id !== undefined;
    return !isKnown || this.#portsHere(isolation).length > 0;
  }
}

/** No id of a topology has a space. */
function deviceKey(device: string): string {
  return `device ${device}`;
}
