/** Real guests with real sockets on a throw-away host, and streams between them. */
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { createInterface, type Interface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { setTimeout } from 'node:timers/promises';
import { Network, run } from '../../../src/cli/demo/network.js';
import { patience } from '../../support/patience.js';
import { step } from '../../support/progress.js';
import { address } from './pair.js';
import type { Closing, Command, SprayLog, StreamReport } from './talker.js';

const TALKER = 'dist/test/kernel/lab/talker.js';
/** Messages that each end of a stream sends while it is watched. */
const WATCHED = 4;
/** Between two messages of an end of a stream; in milliseconds. */
const TALK_EVERY = 5;
/** Between two looks at streams; in milliseconds. */
const LOOK_EVERY = 20;
/** Guests that send nothing for as long are given up; in milliseconds on a quiet machine. */
const SILENCE = 30_000;

export interface Guest {
  readonly device: string;
  readonly mac: string;
  readonly v4: string;
  readonly v6: string;
}

export type Family = 'v4' | 'v6';

export interface StreamPlan {
  readonly protocol: 'tcp' | 'udp';
  readonly family: Family;
  /** Devices of the two guests; the first one calls. */
  readonly from: string;
  readonly to: string;
  readonly port: number;
  /** Between two messages of an end, in milliseconds; a few if absent. */
  readonly every?: number;
}

interface Talker {
  readonly process: ChildProcessByStdio<Writable, Readable, null>;
  readonly lines: Interface;
  readonly guest: Guest;
}

/** What both ends of a stream have seen. */
export interface Ends {
  readonly forth: StreamReport;
  readonly back: StreamReport;
}

export class Streams {
  readonly network: Network;
  readonly #talkers = new Map<string, Talker>();
  readonly #plans = new Map<string, StreamPlan>();
  #localPort = 20_000;

  /** @param prefix of its namespaces' names: of each host of a test another one. */
  constructor(prefix = 'pcstream-') {
    this.network = new Network(prefix);
  }

  get host(): string {
    return this.network.host;
  }

  async plug(guest: Guest): Promise<void> {
    const { device, mac, v4, v6 } = guest;
    const fixedIps = [address(v4), address(v6)];
    const namespace = this.network.plug({ id: device.slice(-8), device, mac, fixedIps });
    const child = spawn('ip', ['netns', 'exec', namespace, process.execPath, TALKER], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const talker: Talker = { process: child, lines: createInterface({ input: child.stdout }), guest };
    this.#talkers.set(device, talker);
    await new Promise((resolve) => talker.lines.once('line', resolve));
  }

  /** Starts a stream. It need not get through. */
  async begin(plan: StreamPlan): Promise<string> {
    const { protocol, family, from, to, port, every = TALK_EVERY } = plan;
    const name = [protocol, family, from, to, port].join(' ');
    await this.#tell(to, { do: 'serve', name, protocol, port, every });
    const target = this.#talker(to).guest[family];
    await this.#tell(from, { do: 'call', name, protocol, address: target, port, localPort: this.#localPort++, every });
    this.#plans.set(name, plan);
    return name;
  }

  async report(): Promise<ReadonlyMap<string, Ends>> {
    const reports = new Map<string, Record<string, StreamReport>>();
    for (const device of this.#talkers.keys()) {
      reports.set(device, (await this.#tell(device, { do: 'report' })) as Record<string, StreamReport>);
    }
    return new Map(
      [...this.#plans].map(([name, { from, to }]) => {
        const [forth, back] = [reports.get(to)?.[name], reports.get(from)?.[name]];
        if (forth === undefined || back === undefined) throw new Error(`no stream ${name}`);
        return [name, { forth, back }];
      }),
    );
  }

  /** Has every guest send single datagrams to every other one, each a flow of its own. */
  async spray(ports: readonly number[], every: number): Promise<void> {
    const guests = [...this.#talkers.values()].map(({ guest }) => guest);
    for (const { device } of guests) await this.#tell(device, { do: 'listen', ports });
    for (const from of guests) {
      const targets = guests
        .filter((to) => to !== from)
        .flatMap((to) =>
          (['v4', 'v6'] as const).flatMap((family) =>
            ports.map((port) => ({
              kind: [from.device, to.device, family, port].join(' '),
              address: to[family],
              port,
            })),
          ),
        );
      await this.#tell(from.device, { do: 'spray', every, targets });
    }
  }

  /** What was sent and received since the last time, by {@link spray}. */
  async drain(): Promise<SprayLog> {
    const logs: SprayLog[] = [];
    for (const device of this.#talkers.keys()) logs.push((await this.#tell(device, { do: 'drain' })) as SprayLog);
    return { sent: logs.flatMap(({ sent }) => sent), received: logs.flatMap(({ received }) => received) };
  }

  /** Drains until what was sent and received since the last time is enough. */
  async collect(isEnough: (log: SprayLog) => boolean): Promise<SprayLog> {
    let log: SprayLog = { sent: [], received: [] };
    const start = performance.now();
    for (;;) {
      const { sent, received } = await this.drain();
      log = { sent: [...log.sent, ...sent], received: [...log.received, ...received] };
      if (isEnough(log)) return log;
      if (performance.now() - start > patience(SILENCE)) {
        throw new Error(
          `never enough: ${log.sent.length} sent, ${log.received.length} received; ${isEnough.toString()}`,
        );
      }
      await setTimeout(LOOK_EVERY);
    }
  }

  /** What arrives while every end that is connected sends a few messages, by stream and direction. */
  async flowing(): Promise<ReadonlyMap<string, { readonly forth: boolean; readonly back: boolean }>> {
    const before = await this.report();
    const hasSent = (was: StreamReport | undefined, is: StreamReport): boolean =>
      !is.isOpen || was === undefined || is.sent >= was.sent + WATCHED;
    let after = before;
    const start = performance.now();
    do {
      await setTimeout(LOOK_EVERY);
      after = await this.report();
      if (performance.now() - start > patience(SILENCE)) throw new Error('the guests do not send');
    } while (
      [...after].some(([name, is]) => {
        const was = before.get(name);
        return !hasSent(was?.forth, is.forth) || !hasSent(was?.back, is.back);
      })
    );
    return new Map(
      [...after].map(([name, { forth, back }]) => [
        name,
        {
          forth: forth.received > (before.get(name)?.forth.received ?? 0),
          back: back.received > (before.get(name)?.back.received ?? 0),
        },
      ]),
    );
  }

  /**
   * Segments of a guest's TCP streams to or from a port that were lost: sent again, and not reported by the other end as
   * there twice (D-SACK, RFC 2883). A busy machine lets a probe go out too early; that is no loss.
   */
  lostSegments(device: string, port: number): number {
    const namespace = `${this.host.slice(0, -'host'.length)}${device.slice(-8)}`;
    const text = run('ip', ['netns', 'exec', namespace, 'ss', '-Htin', `( dport = :${port} or sport = :${port} )`]);
    const sum = (pattern: RegExp): number =>
      [...text.matchAll(pattern)].reduce((total, [, count]) => total + Number(count), 0);
    return sum(/retrans:\d+\/(\d+)/g) - sum(/dsack_dups:(\d+)/g);
  }

  /** Takes a guest's device away, and the guest with it. */
  unplug({ device }: Guest): void {
    this.#talkers.get(device)?.process.kill('SIGKILL');
    this.#talkers.delete(device);
    this.network.unplug({ id: device.slice(-8), device });
  }

  /** Ends every guest and every stream. */
  unplugAll(): void {
    for (const { guest } of this.#talkers.values()) this.unplug(guest);
    this.#plans.clear();
  }

  /** Has one guest connect to another and both close the connection; done when both know. */
  async close(from: Guest, to: Guest, port: number, how: Closing): Promise<'closed' | 'half was cut off'> {
    await this.#tell(to.device, { do: 'close-server', port, how });
    const answer = await this.#tell(from.device, { do: 'close-client', address: to.v4, port, how });
    return answer as 'closed' | 'half was cut off';
  }

  destroy(): void {
    this.unplugAll();
    this.network.remove();
  }

  #talker(device: string): Talker {
    const talker = this.#talkers.get(device);
    if (talker === undefined) throw new Error(`no guest at ${device}`);
    return talker;
  }

  async #tell(device: string, command: Command): Promise<unknown> {
    const { process: child, lines } = this.#talker(device);
    step(`the guest at ${device} is told to ${command.do}`);
    const answer = new Promise<string>((resolve) => lines.once('line', resolve));
    child.stdin.write(`${JSON.stringify(command)}\n`);
    return JSON.parse(await answer) as unknown;
  }
}
