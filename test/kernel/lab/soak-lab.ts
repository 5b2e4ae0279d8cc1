/** Four guests, an agent, a policy that changes at random, and everybody who watches. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { execa } from 'execa';
import { judgeEgress, judgeIngress, type JudgeContext } from '../../../compiler/semantics/index.js';
import { DEFAULT_OPTIONS } from '../../../compiler/index.js';
import { parseTopology, type Port, type Topology } from '../../../compiler/model/index.js';
import { run } from '../../../src/cli/demo/network.js';
import { agentOptions } from './agent-suite.js';
import { Child } from './children.js';
import type { Notice } from './disturbances.js';
import { LOADS, type Foreigner } from './foreigners.js';
import { backendName, environment, type LabBackend } from './flavour.js';
import { markerPort } from './marker.js';
import { HOST, ipFrame, ports as transport, type Rule } from './pair.js';
import { stopProcess } from '../../support/stopped.js';
import { progressing } from '../../support/waiting.js';
import { CLOSED_PORT, OPEN_PORT, TOGGLED_PORTS } from './random-policy.js';
import { Referee, type Finding } from './referee.js';
import { flowOf, Sprayers } from './sprayers.js';
import { Streams, type Guest } from './streams.js';
import { TestAgent, type AgentOptions } from './test-agent.js';
import type { Sighting } from './witness.js';
import { WrappedNft } from './wrapped-nft.js';

/** Between two datagrams of one guest; in milliseconds. */
const SPRAY_EVERY = 10;
/** What happened as long before or after a datagram that fared wrong is told; in milliseconds. */
const TOLD_WITHIN = 500;
/** Of the steady streams: allowed always. */
const STEADY_PORTS = [OPEN_PORT + 4, OPEN_PORT + 6] as const;

export const GUESTS: readonly Guest[] = [1, 2, 3, 4].map((n) => ({
  device: `tapguest000-0${n.toString()}`,
  mac: `fa:16:3e:00:01:0${n.toString()}`,
  v4: `10.0.0.${n.toString()}`,
  v6: `fd00::${n.toString()}`,
}));

/** CLOCK_MONOTONIC, which all processes share; in milliseconds. */
export const now = (): number => Number(process.hrtime.bigint() / 1000n) / 1000;

export class SoakLab {
  readonly streams = new Streams();
  readonly sprayers = new Sprayers();
  readonly agent: TestAgent;
  readonly #nft: WrappedNft;
  /** How the agent is started. */
  how: AgentOptions;
  readonly referee: Referee;
  /** Of what was written last. */
  version = -1;
  #witness: Child | undefined;
  #overrun = 0;
  readonly #dropsBefore = machineDrops();
  /** What was seen of the kernel, and what others did. */
  readonly #history: { readonly at: number; readonly what: string }[] = [];

  constructor(readonly backend: LabBackend) {
    this.agent = new TestAgent(this.streams.host);
    this.#nft = new WrappedNft(this.agent.folder, LOADS);
    this.how = agentOptions('routed', backend);
    this.referee = new Referee({
      isAtomic: backend === 'nftables',
      openPort: OPEN_PORT,
      toggledPorts: TOGGLED_PORTS,
    });
  }

  /** Before the beginning: nft makes all transactions, so that one of it can do something else. */
  throughNft(): void {
    if (this.backend === 'nftables') this.how = { ...this.how, env: { ...this.how.env, ...this.#nft.env } };
  }

  /** Plugs the guests, writes the first version, and starts the agent and who watches. */
  async begin(document: Rule): Promise<void> {
    for (const guest of GUESTS) await this.streams.plug(guest);
    const witness = new Child(this.streams.host, 'witness', (line) => {
      // The witness prints these shapes (witness.ts).
      const seen = JSON.parse(line) as Sighting | Notice;
      this.#history.push({ at: seen.at, what: `seen: ${line}` });
      if ('what' in seen) this.referee.disturbances.saw(seen);
      else this.referee.saw(seen);
    });
    this.#witness = witness;
    await witness.ready;
    run('ip', ['netns', 'exec', this.streams.host, 'nft', STEADY_PROBE]);
    this.write(document);
    await this.agent.run(this.how);
    await this.untilHeld();
    for (const guest of GUESTS) await this.sprayers.add(guest, this.namespaceOf(guest));
    await this.sprayers.listen([...TOGGLED_PORTS, OPEN_PORT, CLOSED_PORT]);
  }

  async destroy(): Promise<void> {
    this.sprayers.end();
    this.#witness?.end();
    await this.agent.destroy();
    this.streams.destroy();
  }

  /** Streams that no change concerns, and a datagram of a random kind every few milliseconds. */
  async beginTraffic(): Promise<void> {
    const [first, second] = GUESTS;
    if (first === undefined || second === undefined) throw new Error('too few guests');
    for (const protocol of ['tcp', 'udp'] as const) {
      for (const [family, port] of [
        ['v4', STEADY_PORTS[0]],
        ['v6', STEADY_PORTS[1]],
      ] as const) {
        await this.streams.begin({ protocol, family, from: first.device, to: second.device, port });
      }
    }
    await this.sprayers.spray([...TOGGLED_PORTS, OPEN_PORT, CLOSED_PORT], SPRAY_EVERY);
  }

  /** An agent whose nft takes long to end after it has committed: time to die in between. */
  hesitant(): AgentOptions {
    const folder = join(this.agent.folder, 'hesitant');
    mkdirSync(folder, { recursive: true });
    const program = run('which', ['nft']).trim();
    const text = `#!/bin/sh\n${program} "$@"\ncode=$?\nsleep 1\nexit $code\n`;
    writeFileSync(join(folder, 'nft'), text, { mode: 0o755 });
    const path = [folder, this.how.env?.['PATH'] ?? process.env['PATH'] ?? ''].join(delimiter);
    // Without `--verify`: each comparison would look at all flows.
    const args = ['--datapath', 'routed', '--backend', backendName(this.backend)];
    return { args, env: { ...this.how.env, PATH: path, PORTCULLIS_TRANSACTIONS: 'nft' } };
  }

  /** Writes a policy as a version of its own; returns its number. */
  write(document: Rule): number {
    const version = ++this.version;
    const { ports, ...rest } = document;
    const marked = { ...rest, ports: [...(Array.isArray(ports) ? (ports as Rule[]) : []), markerPort(version)] };
    const text = JSON.stringify(marked);
    this.referee.announce(version, now(), lazily(text));
    this.agent.write(text);
    return version;
  }

  /** Has somebody do something, and waits until the kernel was seen to hold a version again that was written after that. */
  async suffer({ name, opens, harmless, nft, stops }: Foreigner): Promise<void> {
    this.#history.push({ at: now(), what: `done: ${name}` });
    const watcher = stops === undefined ? undefined : this.agent.watcher();
    if (watcher !== undefined) stopProcess(watcher);
    if (nft !== undefined) this.#nft.once(nft);
    if (opens !== undefined) this.referee.disturbances.begin(name, now());
    for (const commands of [opens, harmless]) {
      if (commands !== undefined) run('ip', ['netns', 'exec', this.streams.host, 'nft', commands]);
    }
    if (watcher !== undefined) {
      await setTimeout(stops);
      process.kill(watcher, 'SIGCONT');
    }
    const { disturbances } = this.referee;
    const said = (): string => `(the agent said last: ${this.lastWords()})`;
    await progressing(
      () => `the end of: ${name} ${said()}`,
      () => disturbances.areOver && (nft === undefined || this.#nft.isTaken),
      () => [this.referee.held, this.agent.output.length],
    );
    await this.untilHeld(this.version + 1);
    if (harmless !== undefined)
      run('ip', ['netns', 'exec', this.streams.host, 'nft', 'delete table inet pctest_other']);
  }

  /** Waits until the kernel was seen to hold the last version, or one that came after a given one. */
  async untilHeld(version = this.version): Promise<void> {
    await progressing(
      () => `version ${version.toString()} in the kernel (the agent said last: ${this.lastWords()})`,
      () => this.referee.held >= version,
      () => this.referee.held,
    );
  }

  /** What the agent logged last. */
  lastWords(): string {
    return this.agent.output.trimEnd().split('\n').slice(-3).join(' | ');
  }

  /** What a datagram that fared wrong met: all that is known of the time around it, the agent's log with it. */
  tell({ story, at }: Finding): string {
    const wallClock = Date.now() - now();
    const logged = this.agent.log().map(({ time, ...line }) => ({
      at: Date.parse(String(time)) - wallClock,
      what: `the agent: ${JSON.stringify(line)}`,
    }));
    const around = [...this.#history, ...logged].filter((event) => Math.abs(event.at - at) < TOLD_WITHIN);
    const lines = around
      .sort((one, other) => one.at - other.at)
      .map((event) => `  ${(event.at - at).toFixed(1)} ms: ${event.what}`);
    return [story, ...lines].join('\n');
  }

  async judge(): Promise<void> {
    this.#witness?.expectAlive();
    const drained = await this.sprayers.drain();
    this.#overrun = drained.overrun;
    this.referee.take(drained);
    this.referee.judge();
  }

  /** Judges until everything that was sent before now is judged; the policy goes on meanwhile, without a change. */
  async judgeAll(document: Rule): Promise<void> {
    const end = now();
    await progressing(
      () => 'a verdict on every datagram',
      async () => {
        this.write(document);
        await this.untilHeld();
        await this.judge();
        return this.referee.openSince > end;
      },
      () => this.referee.judged,
    );
    // Once more: what waits in sockets is read.
    await this.judge();
  }

  /** Packets that no packet filter lost: they found a full buffer of a socket, or a full backlog of a processor. */
  get drops(): number {
    return this.#overrun + machineDrops() - this.#dropsBefore;
  }

  /** Packets of the steady streams: what came to the host's first hook, and what left its last one. */
  steady(): { readonly into: number; readonly out: number } {
    const list = ['-j', 'list', 'counters', 'table', 'inet', 'pctest_steady'];
    const { nftables } = JSON.parse(run('ip', ['netns', 'exec', this.streams.host, 'nft', ...list])) as {
      readonly nftables: readonly { readonly counter?: { readonly name: string; readonly packets: number } }[];
    };
    const packets = (name: string): number =>
      nftables.find(({ counter }) => counter?.name === name)?.counter?.packets ?? 0;
    return { into: packets('into'), out: packets('out') };
  }

  /** Exit code and text of `portcullis diff`: 0 when the kernel holds exactly what a fresh compilation gives. */
  async diff(): Promise<readonly [number | undefined, string]> {
    const args = ['netns', 'exec', this.streams.host, process.execPath, 'dist/bin/portcullis.js', 'diff'];
    const how = ['-t', this.agent.path, '--host', HOST, '--backend', backendName(this.backend)];
    const { exitCode, stdout } = await execa('ip', [...args, ...how], {
      reject: false,
      env: environment(this.backend),
    });
    return [exitCode, stdout];
  }

  /** Has every UDP flow stay known for a day, so that it depends on no clock. */
  keepFlows(): void {
    const names = ['nf_conntrack_udp_timeout', 'nf_conntrack_udp_timeout_stream'];
    const settings = names.map((name) => `net.netfilter.${name}=86400`);
    run('ip', ['netns', 'exec', this.streams.host, 'sysctl', '-qw', ...settings]);
  }

  /** Source ports of the UDP flows to a port that connection tracking knows, by whether they carry the revoked mark. */
  flows(port: number): { readonly revoked: readonly number[]; readonly live: readonly number[] } {
    const list = ['-L', '-p', 'udp', '--orig-port-dst', port.toString()];
    const lines = run('ip', ['netns', 'exec', this.streams.host, 'conntrack', ...list]).split('\n');
    const flows = lines.flatMap((line) => {
      const source = /sport=(\d+)/.exec(line)?.[1];
      const mark = Number(/mark=(\d+)/.exec(line)?.[1] ?? 0);
      return source === undefined
        ? []
        : [{ source: Number(source), isRevoked: (mark & DEFAULT_OPTIONS.revokedMark) !== 0 }];
    });
    const those = (isRevoked: boolean): readonly number[] =>
      flows.filter((flow) => flow.isRevoked === isRevoked).map(({ source }) => source);
    return { revoked: those(true), live: those(false) };
  }

  /** The namespace of a guest, as {@link Streams} makes it. */
  private namespaceOf({ device }: Guest): string {
    return `${this.streams.host.slice(0, -'host'.length)}${device.slice(-8)}`;
  }
}

const STEADY_PROBE = `
table inet pctest_steady {
  counter into { }
  counter out { }
  chain first {
    type filter hook prerouting priority -500; policy accept;
    th dport { ${STEADY_PORTS.join(', ')} } counter name into
    th sport { ${STEADY_PORTS.join(', ')} } counter name into
  }
  chain last {
    type filter hook postrouting priority 500; policy accept;
    th dport { ${STEADY_PORTS.join(', ')} } counter name out
    th sport { ${STEADY_PORTS.join(', ')} } counter name out
  }
}`;

/** Packets that processors of this machine dropped since their backlog was full: second column of softnet_stat. */
function machineDrops(): number {
  return readFileSync('/proc/net/softnet_stat', 'utf8')
    .trimEnd()
    .split('\n')
    .reduce((sum, line) => sum + parseInt(line.split(' ')[1] ?? '0', 16), 0);
}

/** The oracle's verdict of a kind under a policy; parsed when first asked, each kind judged once. */
function lazily(text: string): (kind: string) => boolean {
  let topology: Topology | undefined;
  const verdicts = new Map<string, boolean>();
  return (kind) => {
    const known = verdicts.get(kind);
    if (known !== undefined) return known;
    topology ??= topologyOf(text);
    const verdict = verdictOf(topology, kind);
    verdicts.set(kind, verdict);
    return verdict;
  };
}

function topologyOf(text: string): Topology {
  const { topology, problems } = parseTopology([{ file: 'soak', content: JSON.parse(text) as unknown }]);
  const [problem] = problems;
  if (problem !== undefined) throw new Error(`the random policy has a problem: ${problem.message}`);
  return topology;
}

function verdictOf(topology: Topology, kind: string): boolean {
  const { from, to, family, port } = flowOf(kind, GUESTS);
  const context: JudgeContext = { topology, widestPairLength: DEFAULT_OPTIONS.widestPairLength };
  const frame = ipFrame(from.mac, from[family], to[family], transport(17, 40_000, port));
  return (
    judgeEgress(context, portAt(topology, from), frame, 'new').verdict === 'accept' &&
    judgeIngress(context, portAt(topology, to), frame, 'new').verdict === 'accept'
  );
}

function portAt(topology: Topology, { device }: Guest): Port {
  const port = topology.ports.get(device.slice(3));
  if (port === undefined) throw new Error(`no port at ${device}`);
  return port;
}
