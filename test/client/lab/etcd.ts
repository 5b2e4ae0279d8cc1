/** A real etcd on loopback, of as many members as are asked for. */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { atExit } from '../../support/at-exit.js';
import { stopProcess } from '../../support/stopped.js';
import { lastLines, until, within } from '../../support/waiting.js';

const CACHE = 'node_modules/.cache/portcullis';

export interface EtcdOptions {
  readonly members?: number;
  /** Files, PEM. */
  readonly tls?: { readonly ca: string; readonly cert: string; readonly key: string };
  /** The network namespace that it is in. */
  readonly namespace?: string;
  /** IPv4, where others than this machine ask it; loopback if absent. */
  readonly address?: string;
  /** Options of etcd's own. */
  readonly more?: readonly string[];
}

interface Member {
  readonly name: string;
  readonly port: number;
  readonly peerPort: number;
  process: ChildProcess | undefined;
}

/** The folder of etcd's programs. They are fetched when they are not there yet: before a network is left that they come by. */
export function etcdPrograms(): string {
  return execFileSync(process.execPath, ['scripts/etcd.mjs', CACHE], { encoding: 'utf8' }).trim();
}

export class Etcd {
  readonly #folder = mkdtempSync(join(tmpdir(), 'portcullis-etcd-'));
  readonly #members: readonly Member[];
  readonly #forget: () => void;
  readonly #programs = etcdPrograms();
  #output = '';
  #user: readonly string[] = [];

  private constructor(
    ports: readonly number[],
    private readonly options: EtcdOptions,
  ) {
    const half = ports.length / 2;
    this.#members = ports
      .slice(0, half)
      .map((port, index) => ({ name: `m${index}`, port, peerPort: ports[half + index] ?? 0, process: undefined }));
    this.#forget = atExit(() => {
      for (const { process: child } of this.#members) child?.kill('SIGKILL');
      rmSync(this.#folder, { recursive: true, force: true });
    });
  }

  static async start(options: EtcdOptions = {}): Promise<Etcd> {
    const etcd = new Etcd(await freePorts(2 * (options.members ?? 1)), options);
    for (const index of etcd.#members.keys()) etcd.run(index);
    await etcd.healthy();
    return etcd;
  }

  /** As `--store` takes it, without what stands before the members; in the order of the members from one on. */
  url(first = 0): string {
    const members = [...this.#members.slice(first), ...this.#members.slice(0, first)];
    return `etcd:${members.map((member) => this.#urlOf(member)).join(',')}`;
  }

  /** Starts a member that does not run. */
  run(index: number): void {
    const member = this.#member(index);
    const { tls, more = [] } = this.options;
    const peer = (one: Member): string => `http://127.0.0.1:${one.peerPort}`;
    const url = this.#urlOf(member);
    const security =
      tls === undefined
        ? []
        : [`--cert-file=${tls.cert}`, `--key-file=${tls.key}`, `--trusted-ca-file=${tls.ca}`, '--client-cert-auth'];
    const args = [
      `--name=${member.name}`,
      `--data-dir=${join(this.#folder, member.name)}`,
      `--listen-client-urls=${url}`,
      `--advertise-client-urls=${url}`,
      `--listen-peer-urls=${peer(member)}`,
      `--initial-advertise-peer-urls=${peer(member)}`,
      `--initial-cluster=${this.#members.map((one) => `${one.name}=${peer(one)}`).join(',')}`,
      ...security,
      // Disks of busy machines are slow; a lost leader is what tests ask for, and nothing else.
      '--heartbeat-interval=200',
      '--election-timeout=2000',
      ...more,
    ];
    const [program = '', ...rest] = this.#inNamespace(join(this.#programs, 'etcd'), ...args);
    const child = spawn(program, rest, { stdio: ['ignore', 'ignore', 'pipe'] });
    child.stderr.on('data', (chunk: Buffer) => {
      this.#output = `${this.#output}${chunk.toString()}`.slice(-20_000);
    });
    member.process = child;
  }

  /** A member answers nothing until {@link goOn}. */
  stop(index: number): void {
    const pid = this.#member(index).process?.pid;
    if (pid !== undefined) stopProcess(pid);
  }

  goOn(index: number): void {
    this.#member(index).process?.kill('SIGCONT');
  }

  async kill(index: number): Promise<void> {
    const member = this.#member(index);
    const child = member.process;
    member.process = undefined;
    if (child === undefined) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await within('a member of etcd to end', ended, this.said);
  }

  /** From now on `root` is asked for a password. */
  enableAuthentication(password: string): void {
    this.ctl('user', 'add', `root:${password}`);
    this.ctl('auth', 'enable');
    this.#user = [`--user=root:${password}`];
  }

  /** Of etcdctl, at the members that run. */
  ctl(...args: readonly string[]): string {
    return this.ctlWith('', ...args);
  }

  /** @param input what it reads. */
  ctlWith(input: string, ...args: readonly string[]): string {
    const given = [`--endpoints=${this.#endpoints()}`, ...this.#ctlTls(), ...this.#user, ...args];
    const [program = '', ...rest] = this.#inNamespace(join(this.#programs, 'etcdctl'), ...given);
    return execFileSync(program, rest, {
      encoding: 'utf8',
      env: { ...process.env, ETCDCTL_API: '3' },
      input,
      stdio: ['pipe', 'pipe', 'pipe'],
    });
  }

  #inNamespace(...command: readonly string[]): readonly string[] {
    const { namespace } = this.options;
    // `ip netns exec` becomes the program: a signal is for it.
    return namespace === undefined ? command : ['ip', 'netns', 'exec', namespace, ...command];
  }

  /** Everything that a cluster has is gone, and it is another one of the same addresses. */
  async wipe(): Promise<void> {
    for (const index of this.#members.keys()) await this.kill(index);
    for (const { name } of this.#members) rmSync(join(this.#folder, name), { recursive: true });
    for (const index of this.#members.keys()) this.run(index);
    await this.healthy();
  }

  async healthy(): Promise<void> {
    await until({
      what: 'etcd to have a leader',
      probe: () => {
        try {
          this.ctl('get', 'anything');
          return 'well';
        } catch (error) {
          return error instanceof Error ? error.message.slice(0, 200) : '';
        }
      },
      check: (answer) => {
        if (answer !== 'well') throw new Error(answer);
      },
      said: this.said,
    });
  }

  /** Everything but the newest revision goes. */
  compact(...options: readonly string[]): void {
    const { header } = JSON.parse(this.ctl('get', 'x', '-w=json')) as {
      readonly header: { readonly revision: number };
    };
    this.ctl('compact', ...options, header.revision.toString());
  }

  version(): string {
    return (
      /etcd Version: (\S+)/.exec(
        execFileSync(join(this.#programs, 'etcd'), ['--version'], { encoding: 'utf8' }),
      )?.[1] ?? '?'
    );
  }

  /** The member that leads. */
  leader(): number {
    const status = JSON.parse(this.ctl('endpoint', 'status', '--write-out=json')) as readonly {
      readonly Endpoint: string;
      readonly Status: { readonly header: { readonly member_id: number }; readonly leader: number };
    }[];
    const leading = status.find(({ Status: { header, leader } }) => header.member_id === leader);
    return this.#members.findIndex(({ port }) => leading?.Endpoint.endsWith(`:${port}`) === true);
  }

  async end(): Promise<void> {
    for (const index of this.#members.keys()) await this.kill(index);
    rmSync(this.#folder, { recursive: true, force: true });
    this.#forget();
  }

  readonly said = (): string => lastLines(this.#output);

  #endpoints(): string {
    const running = this.#members.filter(({ process: child }) => child !== undefined);
    return running.map((member) => this.#urlOf(member)).join(',');
  }

  #urlOf({ port }: Member): string {
    const { tls, address = '127.0.0.1' } = this.options;
    return `${tls === undefined ? 'http' : 'https'}://${address}:${port}`;
  }

  #ctlTls(): readonly string[] {
    const { tls } = this.options;
    return tls === undefined ? [] : [`--cacert=${tls.ca}`, `--cert=${tls.cert}`, `--key=${tls.key}`];
  }

  #member(index: number): Member {
    const member = this.#members[index];
    if (member === undefined) throw new Error(`etcd has no member ${index}`);
    return member;
  }
}

/** Ports that nobody listens at. */
async function freePorts(count: number): Promise<readonly number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  const ports = await Promise.all(
    servers.map(
      async (server) =>
        new Promise<number>((resolve) => {
          server.listen(0, '127.0.0.1', () => {
            const at = server.address();
            resolve(typeof at === 'object' && at !== null ? at.port : 0);
          });
        }),
    ),
  );
  await Promise.all(servers.map(async (server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
