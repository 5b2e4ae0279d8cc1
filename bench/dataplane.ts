/**
 * `npm run bench`, last part: what a packet between two guests of one host costs, with real rules in a real kernel, beside no firewall and
 * beside one rule that asks connection tracking. See bench/README.md.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { programPath } from '../agent/programs.js';
import { environment } from '../test/kernel/lab/flavour.js';
import { removeLeftovers } from '../test/kernel/lab/namespace.js';
import { atExit } from '../test/support/at-exit.js';
import { PYTHON } from '../test/support/python.js';
import { median, type Fields } from './document.js';
import { Guests, must, SENT, type Ends, type Guest, type Kind, type Wiring } from './dataplane/guests.js';
import { many, mixed, objects } from './dataplane/topologies.js';
import { DRIVER, NO_NEUTRON } from './neutron/driver.js';
import { IS_QUICK, say, Table } from './report.js';

const ROUNDS = IS_QUICK ? 3 : 15;
/** Datagrams of a flow each. */
const FIRST = 12_000;
/** Of one flow; in milliseconds. */
const STREAM = 200;
const KINDS: readonly Kind[] = ['first', 'one', 'answered'];

/** What everything is compared with: the least that a stateful firewall can be. */
const FLOOR = 'one `ct state` rule';
const FLOOR_TABLE =
  'table inet f { chain c { type filter hook forward priority 0; policy drop; ct state established,related accept; ct state new accept; }; }';

interface Variant {
  readonly name: string;
  /** Whether something is closed. */
  readonly filters: boolean;
  readonly load: (host: string) => void;
  readonly topology: Fields;
}

/** The last two: of a list of ports whoever comes last pays most. */
function guestsOf(topology: Fields): readonly [Guest, Guest] {
  const [from, to] = objects(topology, 'ports')
    .slice(-2)
    .map(({ id, mac_address: mac, fixed_ips: ips }) => {
      const [v4 = '', v6 = ''] = (ips as readonly { readonly ip_address: string }[]).map((one) => one.ip_address);
      return { device: `tap${String(id).slice(0, 11)}`, mac: String(mac), v4, v6 };
    });
  if (from === undefined || to === undefined) throw new Error('fewer than two ports');
  return [from, to];
}

const folder = mkdtempSync(join(tmpdir(), 'portcullis-bench-'));
atExit(() => {
  rmSync(folder, { recursive: true, force: true });
});

function written(host: string, topology: Fields): string {
  const file = join(folder, `${host}.json`);
  writeFileSync(file, JSON.stringify(topology));
  return file;
}

/** As an operator loads it: `portcullis compile`. */
function ours(datapath: string, topology: Fields, backend: 'nftables' | 'iptables'): (host: string) => void {
  return (host) => {
    const path = environment(backend === 'iptables' ? 'iptables-nft' : 'nftables')['PATH'];
    must(host, [
      ...(path === undefined ? [] : ['env', `PATH=${path}`]),
      ...[process.execPath, programPath('portcullis'), 'compile', '-t', written(host, topology), '--host', 'here'],
      ...['--datapath', datapath, '--backend', backend],
    ]);
  };
}

/** Its rules stay when it has ended. The last port is loaded by itself. */
function neutrons(topology: Fields): (host: string) => void {
  return (host) => {
    must(host, [PYTHON, DRIVER, written(host, topology)], 'load\nport\n');
  };
}

function variants(wiring: Wiring): readonly Variant[] {
  const datapath = wiring === 'routed' ? 'routed' : 'bridge-netfilter';
  /** @param seen whether br_netfilter shows table inet what crosses a bridge */
  const variant = (name: string, topology: Fields, seen: boolean, load: (host: string) => void): Variant => ({
    name,
    filters: seen && name !== FLOOR,
    topology,
    load: (host) => {
      for (const family of wiring === 'routed' ? [] : ['iptables', 'ip6tables'])
        must(host, ['sysctl', '-qw', `net.bridge.bridge-nf-call-${family}=${seen ? '1' : '0'}`]);
      load(host);
    },
  });
  const sized = (backend: 'nftables' | 'iptables', sizes: readonly number[]): readonly Variant[] =>
    sizes.map((size) => {
      const topology = many(size);
      return variant(`${backend}, ${size.toString()} ports`, topology, true, ours(datapath, topology, backend));
    });
  const grouped = (rules: number): Variant => {
    const topology = mixed(rules);
    const name = `nftables, a group of ${rules.toString()} rules more`;
    return variant(name, topology, true, ours(datapath, topology, 'nftables'));
  };
  const ofNeutron = (size: number): Variant => {
    const topology = many(size);
    return variant(`Neutron's driver, ${size.toString()} ports`, topology, true, neutrons(topology));
  };
  const floor = (host: string): void => {
    must(host, ['nft', FLOOR_TABLE]);
  };
  const isBeside = wiring === 'bridge' && NO_NEUTRON === undefined;
  return [
    variant('no firewall', many(2), false, () => undefined),
    variant(FLOOR, many(2), true, floor),
    ...sized('nftables', IS_QUICK ? [100] : [2, 100, 1000, 5000]),
    ...(IS_QUICK ? [] : [10, 1000].map(grouped)),
    ...sized('iptables', IS_QUICK ? [] : [2, 100, 1000]),
    ...(isBeside ? (IS_QUICK ? [100] : [100, 1000]).map(ofNeutron) : []),
  ];
}

async function costs(wiring: Wiring): Promise<void> {
  const all = variants(wiring);
  const guests: Guests[] = [];
  for (const [at, { name, topology, load, filters }] of all.entries()) {
    const one = await Guests.make(`${wiring.slice(0, 1)}${at.toString()}`, wiring, ...guestsOf(topology));
    load(one.host);
    for (const end of ['v4', 'v6'] as const) {
      const [open, closed] = [await one.arrive('open', end), await one.arrive('closed', end)];
      // Rules that let nothing or everything through are no rules to be measured.
      if (open === 0 || closed > 0 === filters)
        throw new Error(
          `${name}, ${wiring}, ${end}: of ${SENT} datagrams ${open} arrived at an open port, ${closed} at a closed one`,
        );
    }
    guests.push(one);
  }
  // By variant, family and kind: a number for each round.
  const found = all.map(() => new Map<string, number[]>());
  for (let round = 0; round < ROUNDS; round++) {
    for (const [at, one] of guests.entries()) {
      for (const end of ['v4', 'v6'] as const) {
        for (const kind of KINDS) {
          const cost = await one.measure(kind, end, kind === 'first' ? FIRST : STREAM);
          const costs = found[at]?.get(end + kind) ?? [];
          found[at]?.set(end + kind, [...costs, cost]);
        }
      }
    }
  }
  for (const one of guests) one.end();
  const floor = found[all.findIndex(({ name }) => name === FLOOR)] ?? new Map<string, number[]>();
  for (const end of ['v4', 'v6'] as const) report(wiring, end, all, found, floor);
}

/** Ratios are of the same round: what disturbs the machine for a while disturbs both. */
function report(
  wiring: Wiring,
  end: Ends,
  all: readonly Variant[],
  found: readonly ReadonlyMap<string, readonly number[]>[],
  floor: ReadonlyMap<string, readonly number[]>,
): void {
  const way = wiring === 'routed' ? 'routed' : 'on a bridge, over br_netfilter';
  const table = new Table(`a packet between two guests of a host, ${way}, ${end === 'v4' ? 'IPv4' : 'IPv6'}`, [
    { name: 'rules' },
    { name: 'first of its flow', unit: 'ns' },
    { name: 'first: ratio', digits: 2 },
    { name: 'never answered', unit: 'ns' },
    { name: 'never answered: ratio', digits: 2 },
    { name: 'answered', unit: 'ns' },
    { name: 'answered: ratio', digits: 2 },
  ]);
  for (const [at, { name }] of all.entries()) {
    const cells = KINDS.flatMap((kind) => {
      const costs = found[at]?.get(end + kind) ?? [];
      const base = floor.get(end + kind) ?? [];
      return [median(costs), median(costs.map((cost, round) => cost / (base[round] ?? Number.NaN)))];
    });
    table.row(name, ...cells);
  }
}

if (process.getuid?.() !== 0) say('dataplane: not run: it needs root, for network namespaces');
else {
  removeLeftovers();
  for (const wiring of ['routed', 'bridge'] as const) await costs(wiring);
  process.exit(0);
}
