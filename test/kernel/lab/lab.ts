/**
 * A throw-away host: a network namespace with tap-like devices, and one that holds their other ends. Frames go in by raw
 * sockets; a table of the test, behind ours at the same hooks, records which went past our rules.
 */
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { createInterface, type Interface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { execa } from 'execa';
import {
  besideIptables,
  compileRuleset,
  iptablesProgram,
  printIpsets,
  printIptables,
  printTables,
  type CompileOptions,
  type HostPolicy,
  type IptablesStep,
} from '../../../compiler/index.js';
import { atExit } from '../../support/at-exit.js';
import { eventually } from '../../support/waiting.js';
import { addWitness, step } from '../../support/progress.js';
import { Commands, type Ended } from './commands.js';
import { environment, type LabBackend } from './flavour.js';
import { frameHex, frameHexes, type WireFrame } from './frame-bytes.js';
import { namespaceName, removeLeftovers, removeNamespace } from './namespace.js';
import { PYTHON } from '../../support/python.js';

export interface LabPort {
  readonly device: string;
  /** Addresses that are behind the device; text, without length. */
  readonly addresses: readonly string[];
  /** Of the guest; needed where devices are on a bridge. */
  readonly mac?: string;
  /** Where it is not the lab's own one. */
  readonly bridge?: string;
}

export interface LabOptions {
  /** The bridge that every device is plugged into; undefined where the host routes. */
  readonly bridge?: string;
  /** Which `iptables` the host has, and what the tests load; nftables if absent. */
  readonly backend?: LabBackend;
}

/** A frame that a port's guest sends, or that arrives from outside by the uplink. */
export interface Shot extends Omit<WireFrame, 'destinationMac' | 'token'> {
  /** Found by the destination's address if absent; on a bridge. */
  readonly destinationMac?: string;
  /** The device whose guest sends; undefined is the outside. */
  readonly device: string | undefined;
}

export interface Hit {
  /** Went past our rules where the host receives (egress accepted). */
  readonly passedEgress: boolean;
  /** Devices for which it went past our rules where the host sends (ingress accepted). */
  readonly passedIngress: readonly string[];
  /** Devices whose far end received it. */
  readonly arrived: readonly string[];
}

/** The device by which the host reaches everybody else. */
export const UPLINK = 'uplink0';
/** Of whoever is behind the uplink. */
const OUTSIDE_MAC = '02:00:00:00:02:00';
const BROADCAST_MAC = 'ff:ff:ff:ff:ff:ff';
const ETHERNET_HEADER = 14;
/** Both ends are among the guests: see wire.py. */
const FENCE = ['fence0', 'fence1'] as const;
/** Packets that a failing test shows: the last ones. */
const SHOWN_SHOTS = 5;
/** Labs of this process so far: a file may have two at once. */
let labs = 0;

/** A listing without the elements of dynamic sets: rules add those. */
export function withoutPackets(listing: string): string {
  return listing.replaceAll(
    /(\n\t\tflags [^\n]*\bdynamic\b[^\n]*(?:\n\t\t(?!elements)[^\n]*)*)\n\t\telements = \{[^}]*\}/g,
    '$1',
  );
}

const ROUTED_PROBE = `
table inet pctest_probe {
	set in4 { typeof ip id; flags dynamic; size 65535; }
	set in6 { typeof ip6 flowlabel; flags dynamic; size 65535; }
	set out4 { typeof oifname . ip id; flags dynamic; size 65535; }
	set out6 { typeof oifname . ip6 flowlabel; flags dynamic; size 65535; }
	chain pre {
		type filter hook prerouting priority 50; policy accept;
		meta nfproto ipv4 add @in4 { ip id }
		meta nfproto ipv6 add @in6 { ip6 flowlabel }
	}
	chain post {
		type filter hook postrouting priority 50; policy accept;
		meta nfproto ipv4 add @out4 { oifname . ip id }
		meta nfproto ipv6 add @out6 { oifname . ip6 flowlabel }
	}
}
table arp pctest_probe {
	set in { typeof arp daddr ip; flags dynamic; size 65535; }
	chain pre {
		type filter hook input priority 50; policy accept;
		add @in { arp daddr ip }
	}
}
`;

/** In the bridge family ours are at -190; a frame's own type is asked for, so that none behind a tag is taken for it. */
const BRIDGE_PROBE = `
table bridge pctest_probe {
	set in4 { typeof ip id; flags dynamic; size 65535; }
	set in6 { typeof ip6 flowlabel; flags dynamic; size 65535; }
	set in_arp { typeof arp daddr ip; flags dynamic; size 65535; }
	set out4 { typeof oifname . ip id; flags dynamic; size 65535; }
	set out6 { typeof oifname . ip6 flowlabel; flags dynamic; size 65535; }
	chain pre {
		type filter hook prerouting priority 50; policy accept;
		ether type ip add @in4 { ip id }
		ether type ip6 add @in6 { ip6 flowlabel }
		ether type arp add @in_arp { arp daddr ip }
	}
	chain post {
		type filter hook postrouting priority 50; policy accept;
		ether type ip add @out4 { oifname . ip id }
		ether type ip6 add @out6 { oifname . ip6 flowlabel }
	}
}
`;

export class Lab {
  readonly host: string;
  readonly #guests: string;
  #commands: Commands | undefined;
  #wire: ChildProcessByStdio<Writable, Readable, null> | undefined;
  #lines: Interface | undefined;
  readonly #macs = new Map<string, string>();
  #token = 0;
  #lastShots: readonly string[] = [];
  readonly #ends: (() => void)[] = [];

  private constructor(
    readonly ports: readonly LabPort[],
    private readonly bridge: string | undefined,
    readonly backend: LabBackend,
  ) {
    const name = namespaceName((labs++).toString());
    this.host = `${name}-host`;
    this.#guests = `${name}-guests`;
  }

  static async create(ports: readonly LabPort[], { bridge, backend = 'nftables' }: LabOptions = {}): Promise<Lab> {
    removeLeftovers();
    const lab = new Lab(ports, bridge, backend);
    lab.#ends.push(
      atExit(() => lab.#remove()),
      addWitness('the last packets, and whom they reached', () => lab.#lastShots.join('\n')),
      addWitness('the rules that are loaded', async () => lab.#rules()),
    );
    try {
      await lab.#build();
    } catch (error) {
      lab.#remove();
      throw error;
    }
    return lab;
  }

  async destroy(): Promise<void> {
    this.#lines?.close();
    this.#wire?.stdin.end();
    this.#remove();
    for (const end of this.#ends.splice(0)) end();
    await Promise.resolve();
  }

  async #rules(): Promise<string> {
    const listings = [await this.exec('nft', ['list', 'ruleset'])];
    if (this.backend !== 'nftables') {
      for (const program of ['iptables-save', 'ip6tables-save', 'ipset']) {
        listings.push(await this.exec(program, program === 'ipset' ? ['save'] : []));
      }
    }
    return listings.map(({ stdout, stderr }) => `${stdout}${stderr}`).join('\n');
  }

  /**
   * Runs a program in the host's namespace, whatever it says: for a caller that looks at the exit code.
   * {@link must} is for all others.
   */
  async exec(program: string, args: readonly string[], input = ''): Promise<Ended> {
    step(`${program} ${args.join(' ').slice(0, 100)}`);
    this.#commands ??= new Commands(this.host);
    return this.#commands.run([program, ...args], input, environment(this.backend), () => {
      step(`${program} says something`);
    });
  }

  /** The same, of a program that has to do what it is told: a set-up that silently did nothing would prove nothing. */
  async must(program: string, args: readonly string[], input = ''): Promise<string> {
    const { exitCode, stdout, stderr } = await this.exec(program, args, input);
    if (exitCode === 0) return stdout;
    throw new Error(`${program} ${args.join(' ')}: exit code ${exitCode.toString()}: ${stderr.slice(0, 2000)}`);
  }

  /**
   * What `nft OPTION… list …` prints, without what packets alone write: an end of a link sends some of its own accord, when it likes.
   * @param args nft's options and its command
   */
  async listing(...args: readonly string[]): Promise<string> {
    return withoutPackets(await this.must('nft', ['--stateless', ...args]));
  }

  /** Loads nft text; fails when the kernel refuses it. */
  async load(text: string): Promise<void> {
    await this.must('nft', ['-f', '-'], text);
  }

  /** Loads a policy with the lab's own packet filter, as if nothing had been there before; fails when the kernel refuses it. */
  async loadPolicy(policy: HostPolicy, options: CompileOptions): Promise<void> {
    if (this.backend === 'nftables') await this.load(printTables(compileRuleset(policy, options).tables));
    else await this.#loadIptables(policy, options);
  }

  async #loadIptables(policy: HostPolicy, options: CompileOptions): Promise<void> {
    for (const program of ['iptables', 'ip6tables']) {
      for (const table of ['raw', 'mangle']) {
        for (const option of ['-F', '-X']) await this.must(program, ['-w', '-t', table, option]);
      }
    }
    await this.must('ipset', ['destroy']);
    const program = iptablesProgram(policy, options);
    await this.must('ipset', ['restore'], printIpsets(program));
    await this.load(printTables(besideIptables(policy, options)));
    for (const test of [['--test'], []]) {
      const restore = ['--wait', '--noflush', ...test];
      await this.must('iptables-restore', restore, printIptables(program, 'IPv4'));
      await this.must('ip6tables-restore', restore, printIptables(program, 'IPv6'));
    }
  }

  /** Carries out one step of a plan for iptables, and no more. */
  async takeStep(change: IptablesStep): Promise<void> {
    switch (change.kind) {
      case 'sets':
        await this.must('ipset', ['restore'], change.text);
        break;
      case 'rules':
        await this.must(
          change.family === 'IPv4' ? 'iptables-restore' : 'ip6tables-restore',
          ['--noflush'],
          change.text,
        );
        break;
      case 'destroy-sets':
        // nf_tables lets go of a set some time after the last rule that asked it.
        for (const name of change.names) {
          await eventually(async () => (await this.exec('ipset', ['destroy', name])).exitCode === 0);
        }
    }
  }

  /** As a host that never had rules or flows of ours, for the next test. */
  async renew(): Promise<void> {
    await this.forgetFlows();
    await this.restoreProbe();
    for (const family of ['inet', 'arp', 'bridge']) {
      await this.load(`table ${family} portcullis\ndelete table ${family} portcullis`);
    }
  }

  /** Puts the probe back that a flush took. */
  async restoreProbe(): Promise<void> {
    const { exitCode } = await this.exec('nft', ['list', 'table', this.#family, 'pctest_probe']);
    if (exitCode !== 0) await this.load(this.#probe);
  }

  /** Routes a port's addresses to its device; to be called again when the device was down. */
  async route({ device, addresses }: LabPort): Promise<void> {
    await this.#ip(
      addresses.flatMap((address) => [
        `route replace ${address} dev ${device}`,
        `neighbour replace ${address} lladdr 02:00:00:00:02:01 dev ${device} nud permanent`,
      ]),
    );
  }

  async forgetFlows(): Promise<void> {
    await this.must('conntrack', ['-F']);
  }

  /** Sends frames in order and says whom each of them reached: devices, sorted. */
  async reach(shots: readonly Shot[]): Promise<readonly (readonly string[])[]> {
    return (await this.#send(shots)).map(({ arrived }) => arrived);
  }

  /** Sends frames in order and says what became of each. */
  async shoot(shots: readonly Shot[]): Promise<readonly Hit[]> {
    const sets = ['in4', 'in6', 'out4', 'out6'].map((set) => `${this.#family} pctest_probe ${set}`);
    const arp = this.bridge === undefined ? 'arp pctest_probe in' : 'bridge pctest_probe in_arp';
    await this.load([...sets, arp].map((set) => `flush set ${set}\n`).join(''));
    const sent = await this.#send(shots);
    const seen = await this.#seen();
    return sent.map(({ token, arrived }) => ({
      passedEgress: seen.received.has(token),
      passedIngress: [...(seen.sent.get(token) ?? [])].sort(),
      arrived,
    }));
  }

  async #send(
    shots: readonly Shot[],
  ): Promise<readonly { readonly token: number; readonly arrived: readonly string[] }[]> {
    const tokens = shots.map(() => this.#nextToken());
    const frames = shots.flatMap(({ device, ...shot }, index) => {
      const destinationMac = shot.destinationMac ?? this.#destinationMac(device ?? UPLINK, shot.frame);
      const wire = { ...shot, destinationMac, token: tokens[index] ?? 0 };
      return frameHexes(wire).map((hex) => [farEnd(device ?? UPLINK), hex]);
    });
    const arrivals = await this.#transmit(frames);
    const sent = tokens.map((token) => ({ token, arrived: [...(arrivals.get(token) ?? [])].sort() }));
    const lines = shots.map((shot, index) => {
      const reached = sent[index]?.arrived.join(', ') ?? '';
      return `${JSON.stringify(shot, bigints)} reached ${reached === '' ? 'nobody' : reached}`;
    });
    this.#lastShots = [...this.#lastShots, ...lines].slice(-SHOWN_SHOTS);
    return sent;
  }

  #nextToken(): number {
    return (this.#token = (this.#token % 60_000) + 1);
  }

  /** Has the host itself send the packet of a frame to a device; says whether the far end received it. */
  async shootFromHost(device: string, frame: WireFrame['frame']): Promise<boolean> {
    const token = this.#nextToken();
    const packet = frameHex({ frame, destinationMac: frame.sourceMac, token }).slice(2 * ETHERNET_HEADER);
    const program = 'test/kernel/lab/from_host.py';
    const { exitCode, stderr } = await this.exec(PYTHON, [program, device, packet]);
    if (exitCode !== 0) throw new Error(`the host cannot send: ${stderr}`);
    return (await this.#transmit([])).get(token)?.has(device) ?? false;
  }

  async #transmit(
    frames: readonly (readonly [string, string] | readonly string[])[],
  ): Promise<Map<number, Set<string>>> {
    const wire = this.#wire;
    const lines = this.#lines;
    if (wire === undefined || lines === undefined) throw new Error('the lab is not built');
    step(`wire.py sends ${frames.length.toString()} frames`);
    const answer = new Promise<string>((resolve) => lines.once('line', resolve));
    wire.stdin.write(`${JSON.stringify(frames)}\n`);
    const arrivals = new Map<number, Set<string>>();
    for (const [device = '', hex = ''] of JSON.parse(await answer) as readonly (readonly string[])[]) {
      const token = tokenOf(Buffer.from(hex, 'hex'));
      if (token === undefined) continue;
      const devices = arrivals.get(token) ?? new Set();
      devices.add(device.replace(/^far-/, ''));
      arrivals.set(token, devices);
    }
    return new Map([...arrivals].map(([token, ends]) => [token, new Set([...ends].map((end) => this.#deviceOf(end)))]));
  }

  get #family(): 'inet' | 'bridge' {
    return this.bridge === undefined ? 'inet' : 'bridge';
  }

  get #probe(): string {
    return this.bridge === undefined ? ROUTED_PROBE : BRIDGE_PROBE;
  }

  /** A router is sent everything; on a bridge who has the address, the outside, or everybody. */
  #destinationMac(from: string, { payload }: WireFrame['frame']): string {
    if (this.bridge === undefined) return this.#macs.get(from) ?? '';
    if (payload.kind !== 'ip') return BROADCAST_MAC;
    const { text } = payload.destination;
    if (/^(ff|22[4-9]\.|23\d\.|255\.)/.test(text)) return BROADCAST_MAC;
    const bridge = this.#bridgeOf(from);
    const station = this.ports.find(
      ({ device, addresses }) => addresses.includes(text) && this.#bridgeOf(device) === bridge,
    );
    return station?.mac ?? OUTSIDE_MAC;
  }

  #bridgeOf(device: string): string | undefined {
    return this.ports.find((port) => port.device === device)?.bridge ?? this.bridge;
  }

  #deviceOf(end: string): string {
    return (
      [UPLINK, ...this.ports.map((port) => port.device)].find(
        (device) => farEnd(device) === end || farEnd(device) === `far-${end}`,
      ) ?? end
    );
  }

  async #seen(): Promise<{ received: Set<number>; sent: Map<number, Set<string>> }> {
    const received = new Set<number>();
    const sent = new Map<number, Set<string>>();
    for (const family of this.bridge === undefined ? ['inet', 'arp'] : ['bridge']) {
      const stdout = await this.must('nft', ['-j', '-n', 'list', 'table', family, 'pctest_probe']);
      const listing = JSON.parse(stdout) as {
        readonly nftables: readonly { readonly set?: { readonly name: string; readonly elem?: readonly unknown[] } }[];
      };
      for (const { set } of listing.nftables) {
        for (const element of set?.elem ?? []) {
          if (typeof element === 'object' && element !== null && 'concat' in element) {
            const [device, token] = element.concat as readonly [string, number];
            const devices = sent.get(token) ?? new Set();
            sent.set(token, devices.add(device));
          } else if (typeof element === 'string') {
            const [, , high = '0', low = '0'] = element.split('.');
            received.add(Number(high) * 256 + Number(low));
          } else received.add(Number(element));
        }
      }
    }
    return { received, sent };
  }

  async #build(): Promise<void> {
    const devices = [UPLINK, ...this.ports.map((port) => port.device)];
    await execa('ip', ['netns', 'add', this.host]);
    await execa('ip', ['netns', 'add', this.#guests]);
    const sysctls = [
      'net.ipv4.ip_forward=1',
      'net.ipv6.conf.all.forwarding=1',
      'net.ipv4.conf.all.rp_filter=0',
      'net.ipv4.conf.default.rp_filter=0',
      'net.ipv6.conf.default.accept_dad=0',
      'net.ipv6.conf.default.router_solicitations=0',
    ];
    await this.must('sysctl', ['-qw', ...sysctls]);
    await execa('ip', ['netns', 'exec', this.#guests, 'sysctl', '-qw', 'net.ipv6.conf.default.disable_ipv6=1']);
    for (const [index, device] of devices.entries()) {
      this.#macs.set(device, `02:00:00:00:01:${index.toString(16).padStart(2, '0')}`);
    }
    await this.#ip(
      devices.flatMap((device) => {
        const far = `peer name ${farEnd(device)} netns ${this.#guests}`;
        return [`link add ${device} address ${this.#macs.get(device) ?? ''} type veth ${far}`, `link set ${device} up`];
      }),
    );
    const [fence, otherEnd] = FENCE;
    const ends = [...FENCE, ...devices.map(farEnd)];
    const guests = [
      `link add ${fence} type veth peer name ${otherEnd}`,
      ...ends.map((end) => `link set ${end} arp off up`),
    ];
    await this.must('ip', ['-n', this.#guests, '-batch', '-'], script(guests));
    if (this.bridge === undefined) await this.#routeEverything();
    else await this.#plugInto(devices);
    await this.load(this.#probe);
    await this.#startWire(ends);
  }

  async #routeEverything(): Promise<void> {
    const gateways = ['203.0.113.254', '2001:db8:ffff::fe'].flatMap((gateway) => [
      `neighbour add ${gateway} lladdr 02:00:00:00:02:00 dev ${UPLINK} nud permanent`,
      `route add default via ${gateway} dev ${UPLINK}`,
    ]);
    await this.#ip([
      `address add 203.0.113.1/24 dev ${UPLINK}`,
      `address add 2001:db8:ffff::1/64 dev ${UPLINK} nodad`,
      ...gateways,
    ]);
    for (const port of this.ports) await this.route(port);
  }

  /** Who is where is told to the bridge for good, so that a frame goes where it should whatever an unfiltered port claims. */
  async #plugInto(devices: readonly string[]): Promise<void> {
    const bridges = [...new Set(devices.map((device) => this.#bridgeOf(device) ?? ''))];
    await this.#ip([
      ...bridges.flatMap((bridge) => [`link add ${bridge} type bridge mcast_snooping 0`, `link set ${bridge} up`]),
      ...devices.map((device) => `link set ${device} master ${this.#bridgeOf(device) ?? ''}`),
    ]);
    const stations = [...this.ports, { device: UPLINK, mac: OUTSIDE_MAC }].flatMap(({ device, mac }) =>
      mac === undefined ? [] : [`fdb replace ${mac} dev ${device} master static sticky`],
    );
    await this.must('bridge', ['-batch', '-'], script(stations));
  }

  async #startWire(ends: readonly string[]): Promise<void> {
    const program = 'test/kernel/lab/wire.py';
    this.#wire = spawn('ip', ['netns', 'exec', this.#guests, PYTHON, program, ...ends], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const lines = createInterface({ input: this.#wire.stdout });
    this.#lines = lines;
    step('wire.py starts');
    await new Promise<void>((resolve, reject) => {
      lines.once('line', () => resolve());
      this.#wire?.once('exit', (code) => reject(new Error(`wire.py ended with ${String(code)}`)));
    });
  }

  /** Commands of ip(8), in order. */
  async #ip(commands: readonly string[]): Promise<void> {
    await this.must('ip', ['-batch', '-'], script(commands));
  }

  #remove(): void {
    this.#commands?.end();
    this.#wire?.kill('SIGKILL');
    for (const name of [this.host, this.#guests]) removeNamespace(name);
  }
}

function script(commands: readonly string[]): string {
  return commands.map((command) => `${command}\n`).join('');
}

/** Name of the guest's end; within 15 characters. */
function farEnd(device: string): string {
  return `g${device.slice(-14)}`;
}

/** The token of an arrived frame, also behind tags or LLC/SNAP: see WireFrame. */
function tokenOf(frame: Buffer): number | undefined {
  let at = 12;
  while (frame.readUInt16BE(at) === 0x8100) at += 4;
  if (frame.readUInt16BE(at) < 0x600) at += 8;
  switch (frame.length > at + 6 ? frame.readUInt16BE(at) : 0) {
    case 0x0800:
      return frame.readUInt16BE(at + 6);
    case 0x86dd:
      return frame.readUInt16BE(at + 4);
    default:
      return undefined;
  }
}

function bigints(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString() : value;
}
