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
import { document, median, type Fields } from './document.js';
import { Guests, must, type Ends, type Guest, type Kind, type Wiring } from './dataplane/guests.js';
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
  readonly load: (host: string) => void;
  readonly topology: Fields;
}

type Objects = readonly Fields[];

/** The rules by which what is measured passes: the last of the port's groups. */
const TRAFFIC: Objects = (['IPv4', 'IPv6'] as const).flatMap((ethertype) => [
  { id: `out-${ethertype}`, direction: 'egress', ethertype },
  {
    id: `in-${ethertype}`,
    direction: 'ingress',
    ethertype,
    protocol: 'udp',
    port_range_min: 5000,
    port_range_max: 5999,
  },
]);

/** The topology of all benchmarks, with one more group that all ports have. */
function many(ports: number): Fields {
  const base = document(ports, ports);
  return withPorts(base, [...objects(base, 'security_groups'), group('traffic', TRAFFIC)], (port) => ({
    ...port,
    security_groups: [...(port['security_groups'] as readonly string[]), 'traffic'],
  }));
}

/** Two ports in one group of so many rules more. */
function mixed(rules: number): Fields {
  const others = Array.from({ length: rules }, (_, at) => mixedRule(at));
  return withPorts(document(2, 2), [group('traffic', [...others, ...TRAFFIC])], (port) => ({
    ...port,
    security_groups: ['traffic'],
  }));
}

/** TCP, UDP and all of a prefix, from prefixes of several lengths and from everywhere, of both families; none of what is measured. */
function mixedRule(at: number): Fields {
  const isV4 = at % 2 === 0;
  const length = [16, 20, 24, 32][at % 4] ?? 24;
  const prefix = isV4
    ? `172.${(16 + (at >> 8)).toString()}.${(at & 255).toString()}.0/${length.toString()}`
    : `fd0${(at % 10).toString()}:${at.toString(16)}::/48`;
  const protocol = ['tcp', 'udp', undefined][at % 3];
  const from = 1024 + 3 * at;
  return {
    id: `rule-${at.toString()}`,
    direction: 'ingress',
    ethertype: isV4 ? 'IPv4' : 'IPv6',
    ...(protocol === undefined
      ? {}
      : {
          protocol,
          port_range_min: from >= 5000 ? from + 1000 : from,
          port_range_max: (from >= 5000 ? from + 1000 : from) + (at % 5 === 0 ? 1 : 0),
        }),
    ...(at % 4 === 1 && protocol !== undefined ? {} : { remote_ip_prefix: prefix }),
  };
}

function group(id: string, rules: Objects): Fields {
  return { id, security_group_rules: rules };
}

function withPorts(base: Fields, groups: Objects, change: (port: Fields) => Fields): Fields {
  return { ...base, security_groups: groups, ports: objects(base, 'ports').map(change) };
}

function objects(fields: Fields, name: string): Objects {
  return fields[name] as Objects;
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

/** As an operator loads it: `portcullis compile`. */
function ours(datapath: string, topology: Fields, backend: 'nftables' | 'iptables'): (host: string) => void {
  return (host) => {
    const file = join(folder, `${host}.json`);
    writeFileSync(file, JSON.stringify(topology));
    const path = environment(backend === 'iptables' ? 'iptables-nft' : 'nftables')['PATH'];
    must(host, [
      ...(path === undefined ? [] : ['env', `PATH=${path}`]),
      ...[process.execPath, programPath('portcullis'), 'compile', '-t', file, '--host', 'here'],
      ...['--datapath', datapath, '--backend', backend],
    ]);
  };
}

function variants(wiring: Wiring): readonly Variant[] {
  const call = (host: string, value: 0 | 1): void => {
    if (wiring === 'routed') return;
    for (const name of ['iptables', 'ip6tables'])
      must(host, ['sysctl', '-qw', `net.bridge.bridge-nf-call-${name}=${value.toString()}`]);
  };
  const datapath = wiring === 'routed' ? 'routed' : 'bridge-netfilter';
  const two = many(2);
  const sized = (size: number, backend: 'nftables' | 'iptables'): Variant => {
    const topology = many(size);
    const load = ours(datapath, topology, backend);
    return {
      name: `${backend}, ${size.toString()} ports`,
      topology,
      load: (host) => {
        call(host, 1);
        load(host);
      },
    };
  };
  const ruled = (rules: number): Variant => {
    const topology = mixed(rules);
    const load = ours(datapath, topology, 'nftables');
    return {
      name: `nftables, a group of ${rules.toString()} rules more`,
      topology,
      load: (host) => {
        call(host, 1);
        load(host);
      },
    };
  };
  return [
    {
      name: 'no firewall',
      topology: two,
      load: (host) => {
        call(host, 0);
      },
    },
    {
      name: FLOOR,
      topology: two,
      load: (host) => {
        call(host, 1);
        must(host, ['nft', FLOOR_TABLE]);
      },
    },
    ...(IS_QUICK ? [100] : [2, 100, 1000, 5000]).map((size) => sized(size, 'nftables')),
    ...(IS_QUICK ? [] : [10, 1000].map(ruled)),
    ...(IS_QUICK ? [] : [2, 100, 1000].map((size) => sized(size, 'iptables'))),
  ];
}

async function costs(wiring: Wiring): Promise<void> {
  const all = variants(wiring);
  const guests: Guests[] = [];
  for (const [at, { topology, load }] of all.entries()) {
    const one = await Guests.make(`${wiring.slice(0, 1)}${at.toString()}`, wiring, ...guestsOf(topology));
    load(one.host);
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
  try {
    for (const wiring of ['routed', 'bridge'] as const) await costs(wiring);
  } finally {
    rmSync(folder, { recursive: true });
  }
  process.exit(0);
}
