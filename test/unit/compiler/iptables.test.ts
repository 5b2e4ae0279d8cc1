/** What iptables and ipset cannot take must never be printed; the kernel tier judges packets. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  besideIptables,
  compile,
  DEFAULT_OPTIONS,
  EMPTY_PROGRAM,
  iptablesProgram,
  planIptables,
  printIpsets,
  printIptables,
  printIptablesRule,
  printTables,
  type IptablesChain,
  type IptablesProgram,
} from '../../../compiler/index.js';
import { FAMILIES, parseTopology } from '../../../compiler/model/index.js';
import { arbitraryDocument } from '../../support/arbitrary-topology.js';
import { namedCompilation } from '../../support/golden.js';
import { SimulatedIptables } from '../../support/simulated-iptables.js';

type Fields = Readonly<Record<string, unknown>>;

function program(content: Fields): IptablesProgram {
  const { topology, problems } = parseTopology([{ file: 'test', content }]);
  expect(problems.filter(({ severity }) => severity === 'error')).toEqual([]);
  return iptablesProgram(compile(topology, () => true, DEFAULT_OPTIONS).policy, DEFAULT_OPTIONS);
}

function ports(count: number, device: (index: number) => string): Fields {
  return {
    security_groups: [{ id: 'g' }],
    ports: [...Array(count).keys()].map((index) => ({
      id: `p${String(index)}`,
      device: device(index),
      mac_address: `fa:16:3e:00:${(index >> 8).toString(16).padStart(2, '0')}:${(index & 255).toString(16).padStart(2, '0')}`,
      fixed_ips: [{ ip_address: `10.0.${String(index >> 8)}.${String(index & 255)}` }],
      network_id: 'network',
      security_groups: ['g'],
    })),
  };
}

/** How many rules a packet of each device asks on its way, at most. */
function dispatchCost(chains: readonly IptablesChain[]): number {
  const byName = new Map(chains.map((chain) => [chain.name, chain]));
  const costOf = (chain: IptablesChain): number =>
    Math.max(
      chain.rules.length,
      ...chain.rules.map((rule, index) => {
        const child = rule.target?.kind === 'goto' ? byName.get(rule.target.chain) : undefined;
        return index + 1 + (child === undefined ? 0 : costOf(child));
      }),
    );
  const root = chains.at(-1);
  return root === undefined ? 0 : costOf(root);
}

/** What a packet may be asked for its device, at most: the tree of that direction. */
function cost({ families }: IptablesProgram, tree: 'from' | 'to'): number {
  const chains = families.IPv4.mangle.filter(({ name }) => name === `pc-${tree}` || name.startsWith(`pc-${tree}-`));
  expect(chains.at(-1)?.name).toBe(`pc-${tree}`);
  return dispatchCost(chains);
}

it('names fit, are ours, and are never of two things; every chain and set that is led to is there', () => {
  fc.assert(
    fc.property(arbitraryDocument(), (document) => {
      const { sets, families } = program(document);
      const setNames = sets.map(({ name }) => name);
      expect(new Set(setNames).size).toBe(setNames.length);
      expect(setNames.filter((name) => name.length > 31 || !name.startsWith('pc-'))).toEqual([]);
      for (const family of FAMILIES) {
        const chains = families[family].mangle;
        const names = chains.map(({ name }) => name);
        expect(new Set(names).size).toBe(names.length);
        expect(names.filter((name) => name.length > 28)).toEqual([]);
        for (const rule of chains.flatMap(({ rules }) => rules).map(printIptablesRule)) {
          if (/-j (CONNMARK|MARK) --set-xmark 0x[0-9a-f]+\/0x[0-9a-f]+$/.test(rule)) continue;
          const target = / -[gj] (\S+)$|^-[gj] (\S+)$/.exec(rule);
          expect([...names, 'ACCEPT', 'DROP', 'RETURN']).toContain(target?.[1] ?? target?.[2]);
          const set = /--match-set (\S+)/.exec(rule)?.[1];
          if (set !== undefined) expect(setNames).toContain(set);
        }
      }
    }),
    { numRuns: 100 },
  );
});

it('is the same whatever the order of the topology', () => {
  const texts = (document: Fields): readonly string[] => {
    const made = program(document);
    return [printIpsets(made), ...FAMILIES.map((family) => printIptables(made, family))];
  };
  fc.assert(
    fc.property(arbitraryDocument(), (document) => {
      const turned = Object.fromEntries(
        Object.entries(document as Fields).map(([key, value]) => [
          key,
          Array.isArray(value) ? value.toReversed() : value,
        ]),
      );
      expect(texts(turned)).toEqual(texts(document as Fields));
    }),
    { numRuns: 50 },
  );
});

it.each([
  [1, 1],
  [8, 8],
  [1000, 40],
  [5000, 48],
])('%i ports with names like Neutron’s: a packet asks at most %i names', (count, most) => {
  const uuid = (index: number): string =>
    `tap${((index * 2_654_435_761) % 2 ** 32).toString(16).padStart(8, '0')}-${(index % 256).toString(16).padStart(2, '0')}`;
  const made = program(ports(count, uuid));
  expect(Math.max(cost(made, 'from'), cost(made, 'to'))).toBeLessThanOrEqual(most);
});

it('names that count up do not make the tree a list', () => {
  const made = program(ports(1000, (index) => `tap${index.toString().padStart(11, '0')}`));
  expect(cost(made, 'from')).toBeLessThanOrEqual(40);
});

it('a device whose name ends in + would stand for many: it is closed by the guard, and opens and closes no other', () => {
  const names = ['tapx+', 'tapxy', 'eth+', '+'];
  const { topology } = parseTopology([{ file: 'test', content: ports(names.length, (index) => names[index] ?? '') }]);
  const { policy } = compile(topology, () => true, DEFAULT_OPTIONS);
  const zones = {
    ...policy.zones,
    zones: new Map([
      ['eth+', 1],
      ['eth0', 2],
    ]),
  };
  const { families } = iptablesProgram({ ...policy, zones }, DEFAULT_OPTIONS);
  const rules = FAMILIES.flatMap((family) => [...families[family].raw, ...families[family].mangle])
    .flatMap((chain) => chain.rules)
    .map(printIptablesRule);
  expect(rules.filter((rule) => /-(in?|o(ut)?) \S*\+ /.test(rule))).toEqual(
    FAMILIES.flatMap(() => ['-i tap+ -j DROP', '-o tap+ -j DROP']),
  );
  const guarded = besideIptables(policy, DEFAULT_OPTIONS).flatMap(({ sets }) => [...sets.values()]);
  const text = JSON.stringify(guarded.filter(({ name }) => name === 'guarded'));
  expect(['"eth+"', '"+"'].map((name) => text.includes(name))).toEqual([true, true]);
});

it('signs in a device’s name stay in their place', () => {
  const { families } = program(ports(1, () => "tap#;!$'"));
  const all = families.IPv4.mangle.flatMap(({ rules }) => rules.map(printIptablesRule));
  const rules = all.filter((rule) => rule.includes('tap#'));
  expect(rules.map((rule) => rule.split(' ').slice(0, 2).join(' '))).toEqual([`-i "tap#;!$'"`, `-o "tap#;!$'"`]);
});

it.each(['0', '255'])('protocol and ICMP type %s, which iptables takes for every one, are closed', (number) => {
  const rule = number === '0' ? { protocol: '0' } : { protocol: 'icmp', port_range_min: 255 };
  const made = program({
    ...ports(1, () => 'tap1'),
    security_groups: [{ id: 'g', security_group_rules: [{ id: 'r', direction: 'ingress', ...rule }] }],
  });
  const chain = made.families.IPv4.mangle.find(({ name }) => name === 'pc-sg_g_in');
  // Protocol 0 is "any" in the API itself.
  expect(chain?.rules.map(printIptablesRule)).toEqual(number === '0' ? ['-g pc-admit_in'] : []);
});

it('many ports are one set, many prefixes too, and a /0 in a set is two halves', () => {
  const rules = (fields: readonly Fields[]): Fields => ({
    ...ports(1, () => 'tap1'),
    security_groups: [
      {
        id: 'g',
        security_group_rules: fields.map((one, index) => ({ id: `r${String(index)}`, direction: 'ingress', ...one })),
      },
    ],
  });
  const thousand = [...Array(1000).keys()].map((index) => ({
    protocol: 'tcp',
    port_range_min: 1 + 2 * index,
    port_range_max: 1 + 2 * index,
  }));
  const byPorts = program(rules(thousand));
  const ofGroup = ({ sets }: typeof byPorts): readonly unknown[] =>
    sets.filter(({ name }) => name.startsWith('pc-sg_')).map(({ type, entries }) => [type, entries.length]);
  expect(ofGroup(byPorts)).toEqual([['bitmap:port', 1000]]);
  const nets = [...Array(1000).keys()].map((index) => ({
    remote_ip_prefix: `10.${String(index >> 7)}.${String((index & 127) * 2)}.0/24`,
  }));
  const byNets = program(rules(nets));
  expect(ofGroup(byNets)).toEqual([['hash:net', 1000]]);
  for (const made of [byPorts, byNets]) {
    expect(made.families.IPv4.mangle.find(({ name }) => name === 'pc-sg_g_in')?.rules).toHaveLength(1);
  }
});

it('addresses that are closed to others are so before the rules change, and are free again after them', () => {
  const [one, two] = [program(ports(1, () => 'tapone')), program(ports(2, (index) => `tap${String(index)}`))];
  const change = (before: IptablesProgram, after: IptablesProgram): readonly string[] =>
    planIptables(before, after).steps.map((step) => {
      if (step.kind === 'rules') return 'rules';
      if (step.kind === 'destroy-sets') return 'gone';
      const lines = step.text.split('\n').filter((line) => line.includes('pc-addresses4'));
      return [lines.join(), step.undo.split('\n').filter((line) => line.includes('pc-addresses4'))]
        .flat()
        .join(' undo ');
    });
  const comes = change(one, two);
  expect(comes[0]).toBe('add pc-addresses4 10.0.0.1 -exist undo del pc-addresses4 10.0.0.1 -exist');
  const goes = change(two, one);
  expect(goes.lastIndexOf('del pc-addresses4 10.0.0.1 -exist')).toBeGreaterThan(goes.lastIndexOf('rules'));
});

it('what goes between stateless ports is untracked once the rules are theirs, and no more before these go', () => {
  const group = (stateful: boolean): typeof EMPTY_PROGRAM =>
    program({ ...ports(2, (index) => `tap${String(index)}`), security_groups: [{ id: 'g', stateful }] });
  const [stateful, stateless] = [group(true), group(false)];
  const orderOf = (before: typeof stateful, after: typeof stateful): readonly string[] =>
    planIptables(before, after).steps.flatMap((step) =>
      step.kind === 'rules' && step.family === 'IPv4'
        ? (step.text.match(/^(?:\*\w+|.*--notrack|.*-j pc-state_in)$/gm) ?? [])
        : [],
    );
  const untracked = expect.stringMatching(/^-A pc-raw_in .*notrack$/) as unknown;
  // There were no chains in raw.
  expect(orderOf(stateful, stateless)).toEqual(['*raw', '*mangle', '*raw', untracked]);
  expect(orderOf(stateless, stateful)).toEqual(['*raw', '*mangle', expect.stringMatching(/pc-state_in$/)]);
});

it('a set that was to take another’s place, and was left there, goes first: the name is needed', () => {
  const families = EMPTY_PROGRAM.families;
  const set = { name: 'pc-x', type: 'hash:ip', family: 'IPv4', entries: ['10.0.0.1'] } as const;
  const spare = { ...set, name: 'pc-spare', entries: [] };
  const { steps } = planIptables({ sets: [{ ...set, capacity: 0 }, spare], families }, { sets: [set], families });
  const host = new SimulatedIptables();
  host.carryOut([
    { kind: 'sets', text: 'create pc-x hash:ip family inet netmask 8\ncreate pc-spare hash:ip family inet', undo: '' },
  ]);
  host.carryOut(steps);
  expect(host.state().sets).toEqual({ 'pc-x': ['hash:ip family inet maxelem 1048576', '10.0.0.1'] });
});

it('devices beside the managed prefix owe their packets to iptables, too; where there are none, nobody pays for the question', () => {
  const guard = (device: string): string => {
    const { topology } = parseTopology([{ file: 'test', content: ports(1, () => device) }]);
    const { policy } = compile(topology, () => true, DEFAULT_OPTIONS);
    return printTables(besideIptables(policy, DEFAULT_OPTIONS).filter(({ family }) => family === 'inet'));
  };
  const asked = (text: string): number =>
    [...text.matchAll(/[io]ifname @guarded (meta mark set|counter drop)/g)].length;
  expect(asked(guard('vnet1'))).toBe(4);
  expect(guard('vnet1')).toContain('"vnet1"');
  expect(asked(guard('tap1'))).toBe(0);
});

it('prints a remote group, for people to read', async () => {
  const { policy, options } = namedCompilation('remote-group');
  const made = iptablesProgram(policy, options);
  const text = [printIpsets(made), ...FAMILIES.map((family) => printIptables(made, family))].join('');
  await expect(text).toMatchFileSnapshot('../../golden/remote-group.iptables');
});
