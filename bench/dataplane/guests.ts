/** Two guests of one host, each in a network namespace, as a compute host has them: their taps routed, or plugged into a bridge. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { atExit } from '../../test/support/at-exit.js';
import { makeNamespace, namespaceName } from '../../test/kernel/lab/namespace.js';
import { PYTHON } from '../../test/support/python.js';
import { Answering, type Piped } from '../answering.js';

export type Wiring = 'routed' | 'bridge';
export type Ends = 'v4' | 'v6';
/** What a datagram is to connection tracking: see load.py. */
export type Kind = 'first' | 'one' | 'answered';

export interface Guest {
  readonly device: string;
  readonly mac: string;
  readonly v4: string;
  readonly v6: string;
}

// The build does not copy it.
const LOAD = fileURLToPath(new URL('../../../bench/dataplane/load.py', import.meta.url));
/** Of the bridge that the taps are plugged into: as Neutron calls that of the network `network`. */
const BRIDGE = 'brqnetwork';
/** Next hops that only the guests know. */
const GATEWAY = { v4: '169.254.1.1', v6: 'fe80::1' };
/** What is measured ends here: neither a socket nor an answer of the receiver is part of it. 8 bytes are UDP's header. */
const [OPEN, CLOSED] = [5998, 4900];
/** Datagrams that try a port. */
export const SENT = 10;
const DROP = `table netdev t {
  counter open { }
  counter closed { }
  chain c {
    type filter hook ingress device eth0 priority 0;
    udp dport ${OPEN} counter name open drop
    udp dport ${CLOSED} counter name closed drop
    udp dport 5100-5999 udp length 26 drop
  }
}`;
/** Each has a processor of its own. */
const SENDER_CPU = '0';
const RECEIVER_CPU = '1';

export class Guests {
  readonly #ends: (() => void)[] = [];
  readonly #children: Piped[] = [];
  #sender: Answering | undefined;

  private constructor(
    readonly host: string,
    private readonly receiving: string,
    private readonly to: Guest,
  ) {}

  static async make(name: string, wiring: Wiring, from: Guest, to: Guest): Promise<Guests> {
    const [host, sending, receiving] = ['h', 'a', 'b'].map((end) => namespaceName(`${name}${end}`)) as [
      string,
      string,
      string,
    ];
    const guests = new Guests(host, receiving, to);
    for (const namespace of [host, sending, receiving]) guests.#ends.push(await makeNamespace(namespace));
    guests.#ends.push(atExit(() => guests.#kill()));
    guests.#wire(wiring, from, sending, to);
    guests.#wire(wiring, to, receiving, from);
    must(receiving, ['nft', DROP]);
    for (const end of ['v4', 'v6'] as const) await guests.#listen(to[end]);
    guests.#sender = new Answering(guests.#start(sending, SENDER_CPU, ['send']));
    return guests;
  }

  #wire(wiring: Wiring, guest: Guest, namespace: string, other: Guest): void {
    const { host } = this;
    const { device, mac, v4, v6 } = guest;
    ip('link', 'add', device, 'netns', host, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', namespace);
    ip('-n', namespace, 'link', 'set', 'eth0', 'address', mac);
    const hostMac = macOf(host, device);
    for (const name of ['all', 'default', 'eth0']) sysctl(namespace, `net.ipv6.conf.${name}.accept_dad`, '0');
    if (wiring === 'routed') {
      sysctl(host, 'net.ipv4.ip_forward', '1');
      sysctl(host, 'net.ipv6.conf.all.forwarding', '1');
    } else if (!has(host, BRIDGE)) {
      ip('-n', host, 'link', 'add', BRIDGE, 'type', 'bridge', 'mcast_snooping', '0');
      ip('-n', host, 'link', 'set', BRIDGE, 'up');
    }
    if (wiring === 'bridge') ip('-n', host, 'link', 'set', device, 'master', BRIDGE);
    ip('-n', host, 'link', 'set', device, 'up');
    for (const link of ['lo', 'eth0']) ip('-n', namespace, 'link', 'set', link, 'up');
    for (const [address, peer, gateway, length] of [
      [v4, other.v4, GATEWAY.v4, wiring === 'routed' ? '/32' : '/8'],
      [v6, other.v6, GATEWAY.v6, wiring === 'routed' ? '/128' : '/64'],
    ] as const) {
      ip('-n', namespace, 'addr', 'add', address + length, 'dev', 'eth0');
      if (wiring === 'bridge') neighbour(namespace, 'eth0', peer, other.mac);
      else {
        ip('-n', namespace, 'route', 'add', gateway, 'dev', 'eth0');
        ip('-n', namespace, 'route', 'add', 'default', 'via', gateway, 'dev', 'eth0');
        neighbour(namespace, 'eth0', gateway, hostMac);
        ip('-n', host, 'route', 'add', address, 'dev', device);
        neighbour(host, device, address, mac);
      }
    }
  }

  async #listen(address: string): Promise<void> {
    const child = this.#start(this.receiving, RECEIVER_CPU, ['echo', address]);
    await once(child.stdout, 'data');
  }

  #start(namespace: string, cpu: string, args: readonly string[]): Piped {
    const child = spawn('ip', ['netns', 'exec', namespace, 'taskset', '-c', cpu, PYTHON, LOAD, ...args], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#children.push(child);
    return child;
  }

  /**
   * What a delivered datagram cost its sender.
   * @param number of datagrams for `first`, else milliseconds
   * @returns nanoseconds
   */
  async measure(kind: Kind, end: Ends, number: number): Promise<number> {
    must(this.host, ['conntrack', '-F']);
    const before = this.#received();
    const cost = await this.#ask(`${kind} ${this.to[end]} ${number.toString()}`);
    return cost / (this.#received() - before);
  }

  /** How many of a few datagrams arrive, at a port that the rules leave open or at one that they do not. */
  async arrive(port: 'open' | 'closed', end: Ends): Promise<number> {
    const before = this.#counted(port);
    await this.#ask(`few ${this.to[end]} ${(port === 'open' ? OPEN : CLOSED).toString()}`);
    return this.#counted(port) - before;
  }

  async #ask(question: string): Promise<number> {
    const { cpu } = (await this.#sender?.ask(question)) as { readonly cpu: number };
    return cpu;
  }

  #counted(port: 'open' | 'closed'): number {
    const listing = must(this.receiving, ['nft', 'list', 'counter', 'netdev', 't', port]);
    return Number(/packets (\d+)/.exec(listing)?.[1]);
  }

  #received(): number {
    return Number(must(this.receiving, ['cat', '/sys/class/net/eth0/statistics/rx_packets']));
  }

  end(): void {
    this.#kill();
    for (const end of this.#ends.splice(0)) end();
  }

  #kill(): void {
    for (const child of this.#children.splice(0)) child.kill('SIGKILL');
  }
}

/** Runs a program in a namespace. @returns what it printed. @throws Error with what it said, where it fails */
export function must(namespace: string, command: readonly string[], input = ''): string {
  const { status, stdout, stderr, error } = spawnSync('ip', ['netns', 'exec', namespace, ...command], {
    input,
    encoding: 'utf8',
    maxBuffer: 2 ** 30,
  });
  if (status !== 0) throw new Error(`${command.slice(0, 6).join(' ')}: ${error?.message ?? stderr}`);
  return stdout;
}

function ip(...args: readonly string[]): void {
  const { status, stderr } = spawnSync('ip', args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`ip ${args.join(' ')}: ${stderr}`);
}

function neighbour(namespace: string, device: string, address: string, mac: string): void {
  ip('-n', namespace, 'neigh', 'replace', address, 'lladdr', mac, 'dev', device, 'nud', 'permanent');
}

function sysctl(namespace: string, name: string, value: string): void {
  must(namespace, ['sysctl', '-qw', `${name}=${value}`]);
}

function macOf(namespace: string, device: string): string {
  return must(namespace, ['cat', `/sys/class/net/${device}/address`]).trim();
}

function has(namespace: string, device: string): boolean {
  return spawnSync('ip', ['-n', namespace, 'link', 'show', device], { stdio: 'ignore' }).status === 0;
}
