/** A difference in the words of the topology. That rules read back from a kernel are told alike: kernel/lab/golden-suite.ts. */
import pico from 'picocolors';
import { expect, it } from 'vitest';
import {
  compile,
  DEFAULT_OPTIONS,
  planTransaction,
  stateOf,
  type Compiled,
  type Datapath,
} from '../../../compiler/index.js';
import { conditionsOf } from '../../../compiler/listing.js';
import type { PlanLine } from '../../../src/cli/plan/line.js';
import { planLines, type Loaded } from '../../../src/cli/plan/plan.js';
import { renderPlan } from '../../../src/cli/plan/render.js';
import { parseTopology, type Topology } from '../../../src/model/index.js';
import { NAMED_TOPOLOGIES } from '../../support/named-topologies.js';

type Fields = Readonly<Record<string, unknown>>;

const port = (name: string, number: number, groups: readonly string[], fields: Fields = {}): Fields => ({
  id: `${name}-id`,
  name,
  device: `tap${name}`,
  network_id: 'network',
  mac_address: `fa:16:3e:00:00:0${number.toString()}`,
  fixed_ips: [{ ip_address: `10.0.0.${number.toString()}` }],
  security_groups: groups,
  ...fields,
});
const tcp = (id: string, number: number, fields: Fields = {}): Fields => ({
  ...{ id, direction: 'ingress', protocol: 'tcp', port_range_min: number, port_range_max: number },
  ...fields,
});
const group = (id: string, rules: readonly Fields[]): Fields => ({
  id: `${id}-1234-5678`,
  name: id,
  security_group_rules: rules,
});

const WEB = [tcp('rule-443', 443)];
const DB = [tcp('rule-3306', 3306, { remote_group_id: 'web-1234-5678' })];
const BEFORE = {
  security_groups: [group('web', WEB), group('database', DB)],
  ports: [port('web-1', 1, ['web']), port('web-2', 2, ['web']), port('db-1', 3, ['database'])],
};
type Document = typeof BEFORE;

function parsed(document: Fields): Topology {
  const { topology, problems } = parseTopology([{ file: 'test', content: document }]);
  expect(problems.filter(({ severity }) => severity === 'error')).toEqual([]);
  return topology;
}

interface Policy {
  readonly topology: Topology;
  readonly compiled: Compiled;
}

function policyOf(document: Fields, datapath: Datapath = 'routed'): Policy {
  const topology = parsed(document);
  return { topology, compiled: compile(topology, () => true, { ...DEFAULT_OPTIONS, datapath }) };
}

/** As it is read back from the kernel. */
function loadedAs({ ruleset }: Compiled): Loaded | undefined {
  const table = ruleset.tables.find(({ family }) => family === (ruleset.datapath === 'routed' ? 'inet' : 'bridge'));
  if (table === undefined) return undefined;
  const state = stateOf(table);
  const rules = [...table.chains].map(([name, chain]) => {
    const comments = state.chains.get(name)?.comments ?? [];
    return [
      name,
      chain.rules.map((rule, index) => ({ comment: comments[index] ?? '', conditions: conditionsOf(rule) })),
    ] as const;
  });
  return { table: state, rules: new Map(rules) };
}

/** What changes from one policy, which is loaded, to another; undefined for nothing at all. */
function planBetween(before: Policy | undefined, { topology, compiled }: Policy): readonly string[] | undefined {
  const old = before?.compiled;
  const transaction = planTransaction(compiled.ruleset.tables, (old?.ruleset.tables ?? []).map(stateOf));
  if (transaction.length === 0) return undefined;
  const loaded = old === undefined ? undefined : loadedAs(old);
  return planLines(transaction, topology, compiled, loaded).map(({ sign, text }) => `${sign} ${text}`);
}

it.each<[string, Partial<Document>, readonly string[] | undefined]>([
  ['nothing', {}, undefined],
  [
    'another port in a rule',
    { security_groups: [group('web', [tcp('rule-443', 8443)]), group('database', DB)] },
    ['~ group web: rule rule-443 tcp 443 → 8443 from anywhere (IPv4) (2 ports)'],
  ],
  [
    'a rule that comes',
    { security_groups: [group('web', [...WEB, tcp('rule-80', 80)]), group('database', DB)] },
    ['~ group web: + tcp 80 from anywhere (IPv4) (2 ports)'],
  ],
  [
    'a rule for one port more',
    { security_groups: [group('web', [tcp('rule-443', 443, { port_range_max: 444 })]), group('database', DB)] },
    ['~ group web: + rule rule-443 tcp 444 from anywhere (IPv4) (2 ports)'],
  ],
  [
    'a rule whose ports are neighbours of others, with which they are merged',
    {
      security_groups: [
        group('web', [...WEB, tcp('rule-442', 442), tcp('range', 444, { port_range_max: 450 })]),
        group('database', DB),
      ],
    },
    [
      '~ group web: + tcp 442 from anywhere (IPv4) (2 ports)',
      '~ group web: + tcp 444-450 from anywhere (IPv4) (2 ports)',
    ],
  ],
  [
    'rules that come and go in both directions',
    {
      security_groups: [
        group('web', [
          tcp('r', 22, { remote_ip_prefix: '10.0.0.0/8' }),
          { id: 'e', direction: 'egress', ethertype: 'IPv6' },
        ]),
        group('database', DB),
      ],
    },
    [
      '~ group web: - rule rule-443 tcp 443 from anywhere (IPv4) (2 ports)',
      '~ group web: + rule r tcp 22 from 10.0.0.0/8 (2 ports)',
      '~ group web: + rule e anything to anywhere (IPv6) (2 ports)',
    ],
  ],
  [
    'a rule for another group',
    {
      security_groups: [
        group('web', WEB),
        group('database', [tcp('rule-3306', 3306, { remote_group_id: 'database-1234-5678' })]),
      ],
    },
    [
      '~ group database: - rule rule-3306 tcp 3306 from group web (IPv4) (1 port)',
      '~ group database: + rule rule-3306 tcp 3306 from group database (IPv4) (1 port)',
    ],
  ],
  [
    'a port that comes',
    { ports: [...BEFORE.ports, port('web-4', 4, ['web'])] },
    ['~ group web: 1 member more', '+ port web-4 (tapweb-4): group web'],
  ],
  [
    'a port that goes, and one more',
    { ports: [port('web-2', 2, ['web']), port('db-1', 3, ['database']), port('web-5', 5, ['web'])] },
    [
      '~ group web: 1 member more, 1 fewer',
      '- device tapweb-1: its device is none of ours any more',
      '+ port web-5 (tapweb-5): group web',
    ],
  ],
  [
    'the groups and the state of ports',
    {
      ports: [
        port('web-1', 1, ['web', 'database']),
        port('web-2', 2, ['web'], { admin_state_up: false }),
        port('db-1', 3, ['database']),
      ],
    },
    ['~ port web-1 (tapweb-1): group web → groups database, web', '~ port web-2 (tapweb-2): group web → closed'],
  ],
  [
    'the addresses of a port',
    { ports: [port('web-1', 1, ['web'], { fixed_ips: [{ ip_address: '10.0.0.9' }] }), ...BEFORE.ports.slice(1)] },
    ['~ group web: 1 member more, 1 fewer', '~ port web-1 (tapweb-1): may send from: - 10.0.0.1, + 10.0.0.9'],
  ],
])('%s', (_what, change, lines) => {
  for (const datapath of ['routed', 'bridge'] as const) {
    expect(planBetween(policyOf(BEFORE, datapath), policyOf({ ...BEFORE, ...change }, datapath))).toEqual(lines);
  }
});

it('a group that has gone is named by what comments say, what comes first by all that it brings', () => {
  const without = { security_groups: [group('web', WEB)], ports: BEFORE.ports.slice(0, 2) };
  expect(planBetween(policyOf(BEFORE), policyOf(without))).toEqual([
    '- group database: no port here has it any more',
    '- device tapdb-1: its device is none of ours any more',
  ]);
  expect(planBetween(undefined, policyOf(without))).toEqual([
    '+ group web: 1 rule (2 ports)',
    '+ port web-1 (tapweb-1): group web',
    '+ port web-2 (tapweb-2): group web',
    '+ table inet portcullis',
    '+ table arp portcullis',
    '+ table bridge portcullis',
  ]);
});

it('whatever changes is said, of any topology that follows another', () => {
  const policies = Object.values(NAMED_TOPOLOGIES).map(({ document }) => policyOf(document));
  const plans = policies.map((policy, index) => planBetween(policies[index - 1], policy));
  expect(plans.filter((plan) => plan !== undefined).length).toBeGreaterThan(20);
  expect(plans.findIndex((plan) => plan?.length === 0)).toBe(-1);
});

it('a group of another name, and what no line explains, which is named as the kernel names it', () => {
  const ports = [port('web-1', 1, ['web-1234-5678']), port('db-1', 3, ['database'])];
  const named = (name: string): Policy =>
    policyOf({ security_groups: [{ ...group('web', WEB), name }, group('database', DB)], ports });
  expect(planBetween(named('web'), named('shop'))).toEqual([
    '~ group shop: ingress rules are written anew, and permit the same (1 port)',
    '~ port web-1 (tapweb-1): group web → group shop',
    expect.stringMatching(/^~ table inet portcullis: chain profile_\w+_out, chain profile_\w+_in$/),
  ]);
});

it('groups of one name are told apart, and a name does nothing to a terminal', () => {
  const named = (name: string, ...rules: readonly Fields[]): Policy =>
    policyOf({
      security_groups: [
        { ...group('web', rules), name },
        { ...group('database', []), name },
      ],
      ports: [port('web-1', 1, ['web-1234-5678'])],
    });
  expect(planBetween(named('de\u001b[31mfault'), named('de\u001b[31mfault', ...WEB))).toEqual([
    '~ group de?[31mfault (web-1234-5678): + rule rule-443 tcp 443 from anywhere (IPv4) (1 port)',
  ]);
});

it('many lines of a kind are counted, and the summary says what becomes of live flows', () => {
  const lines: readonly PlanLine[] = [
    ...Array.from(
      { length: 60 },
      (_, index) => ({ sign: '+', kind: 'port', subject: '', text: `port ${index.toString()}` }) as const,
    ),
    { sign: '~', kind: 'group', subject: '', text: 'group web: x' },
  ];
  const shown = renderPlan({ lines, cut: 4 }, pico.createColors(false));
  expect(shown.slice(49)).toEqual([
    '+ port 49',
    '  ... and 10 more of that kind',
    '~ group web: x',
    'Plan: 1 changed, 60 added; 4 live flows would be cut',
  ]);
  expect(renderPlan({ lines: [], cut: 0 }, pico.createColors(false))).toEqual([]);
  const last = (cut: number | undefined): string | undefined =>
    renderPlan({ lines: lines.slice(60), cut }, pico.createColors(false)).at(-1);
  expect([last(0), last(1), last(undefined)]).toEqual([
    'Plan: 1 changed; no live flow would be cut',
    'Plan: 1 changed; 1 live flow would be cut',
    'Plan: 1 changed; live flows cannot be listed',
  ]);
});
