/** Changes of a small topology, and what a plan says of each: by either backend alike, less what iptables does not know. */
import type { BackendName, Difference } from '../../agent/index.js';
import {
  besideIptables,
  compile,
  DEFAULT_OPTIONS,
  EMPTY_PROGRAM,
  iptablesProgram,
  planIptables,
  planTransaction,
  stateOf,
  type Compiled,
  type Datapath,
  type IptablesProgram,
  type Table,
} from '../../compiler/index.js';
import type { PlanLine } from '../../src/cli/plan/line.js';
import { planLines, sidesOf, type Judging } from '../../src/cli/plan/plan.js';
import { parseTopology, type Topology } from '../../compiler/model/index.js';

export type Fields = Readonly<Record<string, unknown>>;

export const port = (name: string, number: number, groups: readonly string[], fields: Fields = {}): Fields => ({
  id: `${name}-id`,
  name,
  device: `tap${name}`,
  network_id: 'network',
  mac_address: `fa:16:3e:00:00:${number.toString().padStart(2, '0')}`,
  fixed_ips: [{ ip_address: `10.0.0.${number.toString()}` }],
  security_groups: groups,
  ...fields,
});
export const tcp = (id: string, number: number, fields: Fields = {}): Fields => ({
  ...{ id, direction: 'ingress', protocol: 'tcp', port_range_min: number, port_range_max: number },
  ...fields,
});
export const group = (id: string, rules: readonly Fields[]): Fields => ({
  id: `${id}-1234-5678`,
  name: id,
  security_group_rules: rules,
});

export const WEB = [tcp('rule-443', 443)];
export const DB = [tcp('rule-3306', 3306, { remote_group_id: 'web-1234-5678' })];
/** More than a rule of iptables asks for at once. */
const MANY_PORTS = Array.from({ length: 20 }, (_, index) => 5001 + 2 * index);
/** A rule of each shape that has a form of its own in a packet filter. */
const EVERY_KIND: readonly Fields[] = [
  { id: 'icmp', direction: 'ingress', protocol: 'icmp', port_range_min: 8 },
  { id: 'code', direction: 'ingress', protocol: 'icmp', port_range_min: 3, port_range_max: 4 },
  { id: 'icmpv6', direction: 'ingress', ethertype: 'IPv6', protocol: 'ipv6-icmp', port_range_min: 128 },
  { id: 'gre', direction: 'ingress', protocol: '47', remote_ip_prefix: '192.0.2.1/32' },
  { id: 'igmp', direction: 'ingress', protocol: '2' },
  tcp('prefix', 22, { remote_ip_prefix: '10.0.0.0/8' }),
  tcp('other', 22, { remote_ip_prefix: '172.16.0.0/12' }),
  tcp('range', 1000, { port_range_max: 2000, ethertype: 'IPv6' }),
  { id: 'sctp', direction: 'ingress', protocol: 'sctp', port_range_min: 7, port_range_max: 7 },
  ...MANY_PORTS.map((number) => tcp(`many-${number.toString()}`, number, { protocol: 'udp' })),
  { id: 'web', direction: 'ingress', remote_group_id: 'web-1234-5678', ethertype: 'IPv6' },
  { id: 'office', direction: 'ingress', remote_address_group_id: 'office-1-2-3' },
  { id: 'out4', direction: 'egress' },
  { id: 'out6', direction: 'egress', ethertype: 'IPv6' },
];
export const BEFORE = {
  security_groups: [group('web', WEB), group('database', DB)],
  address_groups: [{ id: 'office-1-2-3', name: 'office', addresses: ['192.0.2.0/24', '198.51.100.7/32'] }],
  ports: [port('web-1', 1, ['web']), port('web-2', 2, ['web']), port('db-1', 3, ['database'])],
};
export type Document = typeof BEFORE;

function parsed(document: Fields): Topology {
  const { topology, problems } = parseTopology([{ file: 'test', content: document }]);
  const errors = problems.filter(({ severity }) => severity === 'error');
  if (errors.length > 0) throw new Error(JSON.stringify(errors));
  return topology;
}

export interface Policy {
  readonly topology: Topology;
  readonly compiled: Compiled;
  /** For iptables: what it is to hold, and the tables beside it. */
  readonly program: IptablesProgram;
  readonly beside: readonly Table[];
}

export function policyOf(document: Fields, datapath: Datapath = 'routed'): Policy {
  const topology = parsed(document);
  const options = { ...DEFAULT_OPTIONS, datapath };
  const compiled = compile(topology, () => true, options);
  const { policy } = compiled;
  return { topology, compiled, program: iptablesProgram(policy, options), beside: besideIptables(policy, options) };
}

/** What loading a policy would change where another one, or nothing, is loaded. */
export function differenceBetween(backend: BackendName, before: Policy | undefined, after: Policy): Difference {
  switch (backend) {
    case 'nftables': {
      const loaded = (before?.compiled.ruleset.tables ?? []).map(stateOf);
      return { transaction: planTransaction(after.compiled.ruleset.tables, loaded), iptables: [] };
    }
    case 'iptables': {
      const loaded = (before?.beside ?? []).map(stateOf);
      const { changes } = planIptables(before?.program ?? EMPTY_PROGRAM, after.program);
      return { transaction: planTransaction(after.beside, loaded), iptables: changes };
    }
  }
}

/** What a plan says, a line each with its sign. */
export function planBetween(before: Policy | undefined, after: Policy, judging: Judging): readonly PlanLine[] {
  const difference = differenceBetween(judging.backend, before, after);
  return planLines(difference, judging, sidesOf(judging, after.topology, after.compiled), after);
}

/** A line as it is printed. */
export function shown({ sign, text }: PlanLine): string {
  return `${sign} ${text}`;
}

/** As it is told of iptables, whose rules have no comments: a rule that goes is one without an id. */
export function withoutIdsOfGone(line: string): string {
  return line.replace(/^(~ .*: )- rule \S+ /, '$1- ');
}

/** What is changed in {@link BEFORE}, and what is said of it. */
export const CHANGES: readonly (readonly [string, Partial<Document>, readonly string[]])[] = [
  ['nothing', {}, []],
  [
    'another port in a rule',
    { security_groups: [group('web', [tcp('rule-443', 8443)]), group('database', DB)] },
    ['~ group web: rule rule-443 tcp 443 → 8443 from anywhere (IPv4) (2 ports)'],
  ],
  [
    'a rule that comes',
    { security_groups: [group('web', [...WEB, tcp('rule-80', 80)]), group('database', DB)] },
    ['~ group web: + rule rule-80 tcp 80 from anywhere (IPv4) (2 ports)'],
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
  [
    'rules of every kind, for one that goes',
    { security_groups: [group('web', EVERY_KIND), group('database', DB)] },
    [
      '~ group web: - rule rule-443 tcp 443 from anywhere (IPv4) (2 ports)',
      ...[
        'rule code icmp type 3 code 4 from anywhere (IPv4)',
        'rule icmp icmp type 8 from anywhere (IPv4)',
        'rule igmp igmp from anywhere (IPv4)',
        ...MANY_PORTS.map((number) => `udp ${number.toString()} from anywhere (IPv4)`),
        'sctp 7 from anywhere (IPv4)',
        'rule range tcp 1000-2000 from anywhere (IPv6)',
        'rule icmpv6 ipv6-icmp type 128 from anywhere (IPv6)',
        'rule prefix tcp 22 from 10.0.0.0/8',
        'rule other tcp 22 from 172.16.0.0/12',
        'rule gre gre from 192.0.2.1',
        'rule office anything from address group office (IPv4)',
        'rule web anything from group web (IPv6)',
        'anything to anywhere',
      ].map((text) => `~ group web: + ${text} (2 ports)`),
    ],
  ],
  [
    'ports of every kind',
    {
      ports: [
        port('web-1', 1, ['web'], { port_security_enabled: false, security_groups: [] }),
        port('web-2', 2, ['web'], {
          fixed_ips: [{ ip_address: '10.0.0.2' }, { ip_address: 'fd00::2' }],
          allowed_address_pairs: [
            { ip_address: '10.9.0.0/16' },
            { ip_address: '10.0.0.77', mac_address: 'fa:16:3e:00:00:77' },
          ],
        }),
        port('db-1', 3, []),
        ...Array.from({ length: 12 }, (_, index) => port(`many-${index.toString()}`, 11 + index, ['database'])),
      ],
    },
    [
      '~ group database: ingress rules are written anew, and permit the same (12 ports)',
      '~ group web: 1 member more, 1 fewer',
      '~ port db-1 (tapdb-1): group database → no groups',
      ...[0, 1, 10, 11, 2, 3, 4, 5, 6, 7, 8, 9].map((number) => {
        const name = `many-${number.toString()}`;
        return `+ port ${name} (tap${name}): group database`;
      }),
      '~ port web-1 (tapweb-1): group web → not filtered',
      '~ port web-2 (tapweb-2): may send from: + 10.0.0.77, + 10.9.0.0/16, + fd00::2',
    ],
  ],
];

/** What is loaded when all of that has been done at once. */
export const EVERYTHING: Document = CHANGES.slice(-2).reduce((all, [, change]) => ({ ...all, ...change }), BEFORE);
