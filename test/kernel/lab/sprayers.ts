/** A sprayer in each of some guests (sprayer.ts). */
import { Child } from './children.js';
import type { Drained, SprayerCommand, Target } from './sprayer.js';
import type { Family, Guest } from './streams.js';

export interface Flow {
  readonly from: Guest;
  readonly to: Guest;
  readonly family: Family;
  readonly port: number;
}

/** Names sender, receiver, family and port. */
export function kindOf({ from, to, family, port }: Flow): string {
  return [from.device, to.device, family, port].join(' ');
}

/** What {@link kindOf} named. */
export function flowOf(kind: string, guests: readonly Guest[]): Flow {
  const [fromDevice, toDevice, family, port] = kind.split(' ');
  const from = guests.find(({ device }) => device === fromDevice);
  const to = guests.find(({ device }) => device === toDevice);
  if (from === undefined || to === undefined || (family !== 'v4' && family !== 'v6')) throw new Error(`no ${kind}`);
  return { from, to, family, port: Number(port) };
}

interface Sprayer {
  readonly guest: Guest;
  readonly child: Child;
  /** Who waits for an answer; answers come in the order of the commands. */
  readonly waiting: ((answer: unknown) => void)[];
}

export class Sprayers {
  readonly #sprayers = new Map<string, Sprayer>();

  async add(guest: Guest, namespace: string): Promise<void> {
    const waiting: Sprayer['waiting'] = [];
    const child = new Child(namespace, 'sprayer', (line) => waiting.shift()?.(JSON.parse(line)));
    this.#sprayers.set(guest.device, { guest, child, waiting });
    await child.ready;
  }

  async listen(ports: readonly number[]): Promise<void> {
    await Promise.all([...this.#sprayers.values()].map((sprayer) => tell(sprayer, { do: 'listen', ports })));
  }

  /** Has every guest answer what comes to these ports. */
  async answer(ports: readonly number[]): Promise<void> {
    await Promise.all([...this.#sprayers.values()].map((sprayer) => tell(sprayer, { do: 'answer', ports })));
  }

  /** Has every guest send single datagrams to every other one, each a flow of its own. */
  async spray(ports: readonly number[], every: number): Promise<void> {
    const sprayers = [...this.#sprayers.values()];
    for (const sprayer of sprayers) {
      const targets = sprayers
        .filter((other) => other !== sprayer)
        .flatMap(({ guest: to }) =>
          FAMILIES.flatMap((family) => ports.map((port) => targetOf({ from: sprayer.guest, to, family, port }))),
        );
      await tell(sprayer, { do: 'spray', every, targets });
    }
  }

  /** One datagram from each of the ports. */
  async send(flow: Flow, ports: readonly number[]): Promise<void> {
    const sprayer = this.#sprayers.get(flow.from.device);
    if (sprayer === undefined) throw new Error(`no sprayer at ${flow.from.device}`);
    await tell(sprayer, { do: 'send', target: targetOf(flow), from: ports });
  }

  /** What was sent and received since the last time. */
  async drain(): Promise<Drained> {
    const drained = await Promise.all(
      // The command's answer is of this shape (sprayer.ts).
      [...this.#sprayers.values()].map(async (sprayer) => (await tell(sprayer, { do: 'drain' })) as Drained),
    );
    return {
      sent: drained.flatMap(({ sent }) => sent),
      received: drained.flatMap(({ received }) => received),
      overrun: drained.reduce((sum, { overrun }) => sum + overrun, 0),
    };
  }

  end(): void {
    for (const { child } of this.#sprayers.values()) child.end();
  }
}

const FAMILIES = ['v4', 'v6'] as const;

function targetOf(flow: Flow): Target {
  return { kind: kindOf(flow), address: flow.to[flow.family], port: flow.port };
}

async function tell({ child, waiting }: Sprayer, command: SprayerCommand): Promise<unknown> {
  return new Promise((resolve) => {
    waiting.push(resolve);
    child.tell(command);
  });
}
