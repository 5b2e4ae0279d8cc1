/**
 * A cloud that faults are done to: etcd of three members in a namespace of its own, with TLS, client certificates and rights; two
 * processes of the API and three hosts, each in a namespace of its own that reaches etcd by one link. Two guests on each host.
 *
 * The hosts' own counters, before our first hook and behind our last one, say what passed: no guest's full buffer counts.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Network, run } from '../../../src/cli/demo/network.js';
import { Streams, type Guest } from '../../kernel/lab/streams.js';
import { TestAgent } from '../../kernel/lab/test-agent.js';
import { atExit } from '../../support/at-exit.js';
import { addWitness } from '../../support/progress.js';
import { lastLines, progressing } from '../../support/waiting.js';
import { Authority, replacePair, type Pair } from './certificates.js';
import { Etcd } from './etcd.js';

const MAIN = 'dist/bin/portcullis.js';
const ETCD = '10.99.0.1';
/** In bytes; 2 KB to a change until etcd is full and made room in, a minute's or ten's, and junk of a megabyte each, many times. */
const QUOTA = 32 * 1024 * 1024;
/** Every policy of a run lets it through. */
export const OPEN_PORT = 5000;
/** No policy of a run does. */
export const CLOSED_PORT = 5999;
const HOSTS = ['host-1', 'host-2', 'host-3'];
const APIS = ['api-1', 'api-2'];
/** Between two new flows of a guest; in milliseconds. */
const SPRAY_EVERY = 40;
/** Between two messages of an end of a stream; in milliseconds. The guests are not to take the time of what they are there to judge. */
const TALK_EVERY = 25;

export interface FaultedHost {
  readonly name: string;
  readonly streams: Streams;
  readonly agent: TestAgent;
  readonly pair: Pair;
}

export class FaultedCloud {
  readonly folder = mkdtempSync(join(tmpdir(), 'portcullis-faults-'));
  readonly authority = new Authority(this.folder);
  readonly #root = this.authority.issue('root');
  readonly #networks = ['pcetcd-', ...APIS.map((name) => `pc${name}-`)].map((prefix) => new Network(prefix));
  readonly apis: readonly ApiProcess[];
  readonly hosts: readonly FaultedHost[];
  #etcd: Etcd | undefined;
  readonly #etcdNamespace: string;
  /** Names of links in etcd's namespace, by the namespace at the other end. */
  readonly #links = new Map<string, string>();

  constructor() {
    const [etcd, ...apis] = this.#networks.map(({ host }) => host);
    this.#etcdNamespace = etcd ?? '';
    this.apis = APIS.map((name, index) => {
      // The API does everything in etcd: it is root there.
      const { cert, key } = this.authority.issue(`${name}-first`, { commonName: 'root' });
      const pair = { cert: join(this.folder, `${name}.pem`), key: join(this.folder, `${name}-key.pem`) };
      replacePair(pair, { cert, key });
      return new ApiProcess(name, apis[index] ?? '', join(this.folder, `${name}.sock`), pair);
    });
    this.hosts = HOSTS.map((name, index) => {
      const streams = new Streams(`pcfaults${index.toString()}-`);
      return { name, streams, agent: new TestAgent(streams.host, name), pair: this.authority.issue(name) };
    });
  }

  get etcd(): Etcd {
    if (this.#etcd === undefined) throw new Error('etcd was not started');
    return this.#etcd;
  }

  /** Starts etcd, makes the hosts known there, and starts the processes of the API. */
  async begin(): Promise<void> {
    for (const { host } of this.#networks) run('ip', ['-n', host, 'link', 'set', 'lo', 'up']);
    run('ip', ['-n', this.#etcdNamespace, 'address', 'add', `${ETCD}/32`, 'dev', 'lo']);
    for (const { namespace } of this.apis) this.#link(namespace);
    for (const { streams } of this.hosts) this.#link(streams.host);
    this.#inEtcd('nft', LINKS);
    this.#etcd = await Etcd.start({
      members: 3,
      namespace: this.#etcdNamespace,
      address: ETCD,
      tls: {
        ca: this.authority.ca,
        ...this.authority.issue('root-of-etcd', { addresses: [ETCD], commonName: 'root' }),
      },
      more: [`--quota-backend-bytes=${QUOTA.toString()}`],
    });
    this.etcd.ctl('user', 'add', 'root', '--no-password');
    this.etcd.ctl('auth', 'enable');
    for (const { name } of this.hosts) {
      const enrol = ['hosts', 'enrol', name, '--store', this.etcd.url(), ...this.#etcdArgs(this.#root)];
      this.#inEtcd(process.execPath, MAIN, ...enrol);
    }
    for (const api of this.apis) await this.startApi(api);
  }

  async startApi(api: ApiProcess): Promise<void> {
    const store = ['--store', this.etcd.url(this.apis.indexOf(api)), ...this.#etcdArgs(api.pair)];
    await api.start([...store, '--rate', '1000000']);
  }

  startAgent({ name, agent, pair }: FaultedHost): void {
    const url = this.etcd.url(HOSTS.indexOf(name));
    agent.start({ source: ['--source', url, ...this.#etcdArgs(pair)], args: ['--datapath', 'routed'] });
  }

  /** @param guests of each host, two. */
  async beginTraffic(guests: ReadonlyMap<string, readonly Guest[]>): Promise<void> {
    for (const { name, streams } of this.hosts) {
      const [one, other] = guests.get(name) ?? [];
      if (one === undefined || other === undefined) throw new Error(`${name} has too few guests`);
      run('ip', ['netns', 'exec', streams.host, 'nft', COUNTERS]);
      const ends = { from: one.device, to: other.device, port: OPEN_PORT, every: TALK_EVERY };
      await streams.begin({ protocol: 'tcp', family: 'v4', ...ends });
      await streams.begin({ protocol: 'udp', family: 'v6', ...ends, port: OPEN_PORT + 1 });
      await streams.spray([OPEN_PORT, CLOSED_PORT], SPRAY_EVERY);
    }
  }

  /** Packets that came to a host's first hook, and that left its last one. */
  counted({ streams }: FaultedHost): Readonly<Record<'openInto' | 'openOut' | 'closedInto' | 'closedOut', number>> {
    const list = ['-j', 'list', 'counters', 'table', 'inet', 'pctest_faults'];
    const { nftables } = JSON.parse(run('ip', ['netns', 'exec', streams.host, 'nft', ...list])) as {
      readonly nftables: readonly { readonly counter?: { readonly name: string; readonly packets: number } }[];
    };
    const packets = (name: string): number =>
      nftables.find(({ counter }) => counter?.name === name)?.counter?.packets ?? 0;
    return {
      openInto: packets('open_into'),
      openOut: packets('open_out'),
      closedInto: packets('closed_into'),
      closedOut: packets('closed_out'),
    };
  }

  /** Nothing gets through between etcd and who is in a namespace, and nobody is told so. */
  silence(namespace: string): void {
    this.#inEtcd('nft', `add element inet links silent { ${this.#linkOf(namespace)} }`);
  }

  heal(namespace: string): void {
    this.#inEtcd('nft', `delete element inet links silent { ${this.#linkOf(namespace)} }`);
  }

  /** Resets every connection of who is in a namespace to etcd. */
  async cut(namespace: string): Promise<void> {
    const element = `inet links cut { ${this.#linkOf(namespace)} }`;
    const open = (): string =>
      run('ip', ['netns', 'exec', namespace, 'ss', '-Htn', 'state', 'established', 'dst', ETCD]);
    this.#inEtcd('nft', `add element ${element}`);
    await progressing(
      () => 'all connections to be reset',
      () => open() === '',
      open,
    );
    this.#inEtcd('nft', `delete element ${element}`);
  }

  /** Puts another certificate of the same owner in place. @param lifetime in seconds; a day if absent */
  renew(pair: Pair, owner: string, lifetime?: number): void {
    replacePair(
      pair,
      this.authority.issue('next', { commonName: owner, ...(lifetime === undefined ? {} : { lifetime }) }),
    );
  }

  /** What the store holds, as a topology document, in a file. */
  export(): string {
    const file = join(this.folder, 'export.json');
    const store = ['--store', this.etcd.url(), ...this.#etcdArgs(this.#root)];
    writeFileSync(file, this.#inEtcd(process.execPath, MAIN, 'export', ...store));
    return file;
  }

  /** What loading a topology would change on a host; empty for nothing. */
  diff({ name, streams }: FaultedHost, topology: string): string {
    const args = [MAIN, 'diff', '-t', topology, '--host', name];
    const command = ['netns', 'exec', streams.host, process.execPath, ...args];
    const { status, stdout, stderr } = spawnSync('ip', command, { encoding: 'utf8' });
    return status === 0 ? '' : `exit code ${String(status)}: ${stdout}${stderr}`;
  }

  async end(): Promise<void> {
    for (const { agent } of this.hosts) await agent.destroy();
    for (const api of this.apis) await api.kill();
    await this.#etcd?.end();
    for (const { streams } of this.hosts) streams.destroy();
    for (const api of this.apis) api.forget();
    for (const network of this.#networks) network.remove();
    rmSync(this.folder, { recursive: true, force: true });
  }

  #etcdArgs({ cert, key }: Pair): readonly string[] {
    return ['--etcd-ca', this.authority.ca, '--etcd-cert', cert, '--etcd-key', key];
  }

  #inEtcd(program: string, ...args: readonly string[]): string {
    return run('ip', ['netns', 'exec', this.#etcdNamespace, program, ...args]);
  }

  #linkOf(namespace: string): string {
    return this.#links.get(namespace) ?? '';
  }

  /** By one link to etcd. */
  #link(namespace: string): void {
    const index = this.#links.size.toString();
    const [near, far] = [`10.99.1${index}.1`, `10.99.1${index}.2`];
    const name = `link${index}`;
    this.#links.set(namespace, name);
    const there = ['-n', namespace];
    run('ip', [
      '-n',
      this.#etcdNamespace,
      'link',
      'add',
      name,
      'type',
      'veth',
      'peer',
      'name',
      'etcd0',
      'netns',
      namespace,
    ]);
    run('ip', ['-n', this.#etcdNamespace, 'address', 'add', `${near}/24`, 'dev', name]);
    run('ip', ['-n', this.#etcdNamespace, 'link', 'set', name, 'up']);
    run('ip', [...there, 'address', 'add', `${far}/24`, 'dev', 'etcd0']);
    run('ip', [...there, 'link', 'set', 'etcd0', 'up']);
    run('ip', [...there, 'route', 'add', ETCD, 'via', near]);
  }
}

export class ApiProcess {
  #child: ChildProcess | undefined;
  #output = '';
  readonly forget: () => void;

  constructor(
    readonly name: string,
    readonly namespace: string,
    readonly socket: string,
    readonly pair: Pair,
  ) {
    this.forget = addWitness(`what ${name} said last`, () => lastLines(this.#output));
  }

  /** Done when it listens. */
  async start(args: readonly string[]): Promise<void> {
    const begun = this.#output.length;
    const command = ['netns', 'exec', this.namespace, process.execPath, MAIN, 'api', '--listen', `unix:${this.socket}`];
    const child = spawn('ip', [...command, ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
    this.#child = child;
    child.once(
      'exit',
      atExit(() => child.kill('SIGKILL')),
    );
    child.stderr.on('data', (chunk: Buffer) => (this.#output += chunk.toString()));
    await progressing(
      () => `${this.name} to listen`,
      () => {
        if (child.exitCode !== null) throw new Error(`${this.name} ended: ${lastLines(this.#output)}`);
        return this.#output.slice(begun).includes('the API listens');
      },
      () => this.#output.slice(begun),
    );
  }

  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child?.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
  }
}

const LINKS = `
table inet links {
  set silent { type ifname; }
  set cut { type ifname; }
  chain in {
    type filter hook input priority 0; policy accept;
    iifname @silent drop
    iifname @cut meta l4proto tcp reject with tcp reset
  }
  chain out {
    type filter hook output priority 0; policy accept;
    oifname @silent drop
  }
}`;

const OPEN_PORTS = `{ ${OPEN_PORT.toString()}, ${(OPEN_PORT + 1).toString()} }`;
const COUNTERS = `
table inet pctest_faults {
  counter open_into { }
  counter open_out { }
  counter closed_into { }
  counter closed_out { }
  chain first {
    type filter hook prerouting priority -500; policy accept;
    th dport ${OPEN_PORTS} counter name open_into
    th sport ${OPEN_PORTS} counter name open_into
    th dport ${CLOSED_PORT.toString()} counter name closed_into
  }
  chain last {
    type filter hook postrouting priority 500; policy accept;
    th dport ${OPEN_PORTS} counter name open_out
    th sport ${OPEN_PORTS} counter name open_out
    th dport ${CLOSED_PORT.toString()} counter name closed_out
  }
}`;
