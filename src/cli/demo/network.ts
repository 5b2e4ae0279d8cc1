/** The demo's throw-away network: a host that routes to one guest per port, each in a namespace of its own. */
import { spawn, spawnSync, type ChildProcessByStdio } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { createInterface, type Interface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import type { Port } from '../../model/index.js';

const PREFIX = 'pcdemo-';
/** Every guest's router: link-local addresses that the host's devices share. */
const GATEWAY = { IPv4: '169.254.1.1', IPv6: 'fe80::1' };
const HOST_MAC = '02:00:00:00:00:01';

export interface Target {
  readonly address: string;
  readonly port: number;
}

interface Guest {
  readonly process: ChildProcessByStdio<Writable, Readable, null>;
  readonly lines: Interface;
}

export class DemoNetwork {
  readonly #name = `${PREFIX}${process.pid.toString()}`;
  readonly #guests = new Map<string, Guest>();
  readonly #namespaces: string[] = [];

  constructor(private readonly listenOn: readonly number[]) {
    removeLeftovers();
    process.once('exit', () => this.remove());
    this.#addNamespace('host');
    this.#inHost(
      'sysctl',
      '-qw',
      'net.ipv4.ip_forward=1',
      'net.ipv6.conf.all.forwarding=1',
      'net.ipv6.conf.default.accept_dad=0',
    );
  }

  /** Plugs a port: a device on the host, a guest with the port's MAC and addresses at its other end. */
  async plug(port: Port): Promise<void> {
    const guest = this.#addNamespace(port.id.slice(0, 8));
    const { device } = port;
    this.#inHost(
      'ip',
      'link',
      'add',
      device,
      'address',
      HOST_MAC,
      'type',
      'veth',
      'peer',
      'name',
      'eth0',
      'address',
      port.mac,
      'netns',
      guest,
    );
    this.#inHost('ip', 'address', 'add', `${GATEWAY.IPv4}/32`, 'dev', device);
    this.#inHost('ip', 'link', 'set', device, 'up');
    run('ip', ['-n', guest, 'link', 'set', 'lo', 'up']);
    run('ip', ['-n', guest, 'link', 'set', 'eth0', 'up']);
    for (const { family, text } of port.fixedIps) {
      run('ip', ['-n', guest, 'address', 'add', text, 'dev', 'eth0', ...(family === 'IPv6' ? ['nodad'] : [])]);
      run('ip', ['-n', guest, 'neighbour', 'replace', GATEWAY[family], 'lladdr', HOST_MAC, 'dev', 'eth0']);
      run('ip', [
        '-n',
        guest,
        'route',
        'add',
        'default',
        'via',
        GATEWAY[family],
        'dev',
        'eth0',
        ...(family === 'IPv4' ? ['onlink'] : []),
      ]);
      this.#inHost('ip', 'route', 'add', text, 'dev', device);
      this.#inHost('ip', 'neighbour', 'replace', text, 'lladdr', port.mac, 'dev', device);
    }
    await this.#startGuest(port.id, guest);
  }

  /** Tries to connect from a port's guest to each target, all at once. */
  async connect(portId: string, targets: readonly Target[]): Promise<readonly boolean[]> {
    const guest = this.#guests.get(portId);
    if (guest === undefined) throw new Error(`port ${portId} is not plugged`);
    const answer = new Promise<string>((resolve) => guest.lines.once('line', resolve));
    guest.process.stdin.write(`${JSON.stringify(targets)}\n`);
    return JSON.parse(await answer) as readonly boolean[];
  }

  /** Runs this program's own command line in the host's namespace; returns what it printed. */
  portcullis(...args: readonly string[]): string {
    const main = fileURLToPath(new URL('../main.js', import.meta.url));
    return run('ip', ['netns', 'exec', `${this.#name}-host`, process.execPath, main, ...args]);
  }

  remove(): void {
    for (const guest of this.#guests.values()) guest.process.kill('SIGKILL');
    this.#guests.clear();
    for (const name of this.#namespaces.splice(0)) removeNamespace(name);
  }

  #addNamespace(suffix: string): string {
    const name = `${this.#name}-${suffix}`;
    run('ip', ['netns', 'add', name]);
    this.#namespaces.push(name);
    return name;
  }

  #inHost(program: string, ...args: readonly string[]): void {
    run('ip', ['netns', 'exec', `${this.#name}-host`, program, ...args]);
  }

  async #startGuest(portId: string, namespace: string): Promise<void> {
    const program = fileURLToPath(new URL('./guest.js', import.meta.url));
    const child = spawn('ip', ['netns', 'exec', namespace, process.execPath, program, ...this.listenOn.map(String)], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const lines = createInterface({ input: child.stdout });
    this.#guests.set(portId, { process: child, lines });
    await new Promise<void>((resolve, reject) => {
      lines.once('line', () => resolve());
      child.once('exit', () => reject(new Error(`the guest of port ${portId} ended`)));
    });
  }
}

function run(program: string, args: readonly string[]): string {
  const result = spawnSync(program, args, { encoding: 'utf8' });
  if (result.status === 0) return result.stdout;
  throw new Error(`${program} ${args.join(' ')}: ${result.stderr.trim() || (result.error?.message ?? 'failed')}`);
}

function removeNamespace(name: string): void {
  if (existsSync(`/run/netns/${name}`)) spawnSync('ip', ['netns', 'delete', name]);
}

/** Namespaces of runs that were killed. */
function removeLeftovers(): void {
  if (!existsSync('/run/netns')) return;
  for (const name of readdirSync('/run/netns')) {
    const pid = new RegExp(`^${PREFIX}(\\d+)-`).exec(name)?.[1];
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) removeNamespace(name);
  }
}
