/** What `explain` says, line by line. */
import { describe, expect, it } from 'vitest';
import { explain, renderExplanation, type End, type Explanation } from '../../../compiler/explain/index.js';
import { DEFAULT_OPTIONS } from '../../../compiler/options.js';
import type { FlowState, Transport } from '../../../compiler/model/index.js';
import { exact, groupFields, icmp, portFields, ports, world, type Fields, type World } from '../../support/world.js';

const EGRESS = { id: 'out', direction: 'egress', protocol: 'tcp' };

function between(
  w: World,
  from: number | string,
  to: number | string,
  transport: Transport,
  state: FlowState = 'new',
): Explanation {
  const end = (which: number | string): End => {
    const port = [...w.topology.ports.values()].find(({ name }) => name === `p${String(which)}`);
    return { port, address: exact(typeof which === 'string' ? which : `10.0.0.${String(which)}`) };
  };
  const context = { topology: w.topology, widestPairLength: DEFAULT_OPTIONS.widestPairLength };
  return explain(context, end(from), end(to), transport, state);
}

const plain = (text: string): string => text;
const lines = (explanation: Explanation): readonly string[] =>
  renderExplanation(explanation, { good: plain, bad: plain, dim: plain });

function webAndDatabase(rule: Fields, more: Fields = {}): World {
  return world({
    security_groups: [
      groupFields('web', [EGRESS]),
      groupFields('database', [{ id: 'in', direction: 'ingress', ...rule }], more),
    ],
    ports: [portFields(1, ['web']), portFields(2, ['database']), portFields(3, [])],
  });
}

const MYSQL = { protocol: 'tcp', port_range_min: 3306, port_range_max: 3306, remote_group_id: 'web' };

it('shows both halves with the rule that lets the packet pass', () => {
  expect(lines(between(webAndDatabase(MYSQL), 1, 2, ports(6, 3306)))).toEqual([
    'IPv4 10.0.0.1 -> 10.0.0.2: allowed',
    '  egress of port "p1" (port0001-0000): allowed: a rule allows it',
    '    egress IPv4 tcp to anywhere  [group "web" web, rule out]',
    '  ingress of port "p2" (port0002-0000): allowed: a rule allows it',
    '    ingress IPv4 tcp 3306 from group web  [group "database" database, rule in]',
  ]);
});

it('shows both halves of a drop, with the nearest rule and what about it did not match', () => {
  expect(lines(between(webAndDatabase(MYSQL), 3, 2, ports(6, 3307)))).toEqual([
    'IPv4 10.0.0.3 -> 10.0.0.2: dropped',
    '  egress of port "p3" (port0003-0000): dropped: the port has no security group: nothing but service traffic passes',
    '  ingress of port "p2" (port0002-0000): dropped: no ingress rule of its groups matches',
    '    nearest: ingress IPv4 tcp 3306 from group web  [group "database" database, rule in]',
    '      but port 3307 is not in tcp 3306',
    '      but source 10.0.0.3 is no member of group "web" (1 IPv4 members)',
  ]);
});

it('one half dropped is a drop', () => {
  const explanation = between(webAndDatabase(MYSQL), 1, 2, ports(6, 22));
  expect(explanation.halves.map(({ verdict }) => verdict)).toEqual(['accept', 'drop']);
  expect(explanation.verdict).toBe('drop');
});

it('an address that is no port is not filtered', () => {
  expect(lines(between(webAndDatabase(MYSQL), '192.0.2.1', 2, ports(6, 3306)))[1]).toBe(
    '  egress: allowed: 192.0.2.1 is no port of this topology: not filtered here',
  );
});

describe('says what did not match', () => {
  it.each<[string, Fields, Transport, string]>([
    ['protocol', { protocol: 'udp' }, ports(6, 80), 'the packet is tcp, not udp'],
    ['ports', { ...MYSQL, remote_group_id: null }, ports(6, 80), 'port 80 is not in tcp 3306'],
    ['type', { protocol: 'icmp', port_range_min: 8 }, icmp(0), 'ICMP type 0 code 0 is not icmp type 8'],
    [
      'code',
      { protocol: 'icmp', port_range_min: 3, port_range_max: 4 },
      icmp(3),
      'ICMP type 3 code 0 is not icmp type 3 code 4',
    ],
    ['prefix', { remote_ip_prefix: '192.0.2.0/24' }, ports(6, 80), 'source 10.0.0.1 is not in 192.0.2.0/24'],
    [
      'unknown group',
      { remote_group_id: 'gone' },
      ports(6, 80),
      'group "gone" is not in the topology: the rule matches nothing',
    ],
    [
      'address group',
      { remote_address_group_id: 'gone' },
      ports(6, 80),
      'group "gone" is not in the topology: the rule matches nothing',
    ],
  ])('%s', (_what, rule, transport, line) => {
    const half = between(webAndDatabase(rule), 1, 2, transport).halves[1];
    expect(half.nearest).toHaveLength(1);
    expect(half.nearest[0]?.mismatches).toContain(line);
  });
});

it('names at most three rules, nearest first, and none of the other family', () => {
  const rule = (id: string, fields: Fields): Fields => ({ id, direction: 'ingress', ...fields });
  const w = world({
    security_groups: [
      groupFields('web', [EGRESS]),
      groupFields('database', [
        rule('a-six', { ethertype: 'IPv6' }),
        rule('b-two-off', { protocol: 'udp', remote_ip_prefix: '192.0.2.0/24' }),
        rule('c-one-off', { ...MYSQL, remote_group_id: null }),
        rule('d-one-off', { remote_ip_prefix: '192.0.2.0/24' }),
        rule('e-two-off', { protocol: 'sctp', remote_ip_prefix: '192.0.2.0/24' }),
      ]),
      groupFields('six', [rule('f-six', { ethertype: 'IPv6' })]),
    ],
    ports: [portFields(1, ['web']), portFields(2, ['database']), portFields(3, ['six'])],
  });
  const nearestTo = (port: number): readonly string[] =>
    between(w, 1, port, ports(6, 80)).halves[1].nearest.map(({ rule: { ruleId } }) => ruleId);
  expect(nearestTo(2)).toEqual(['c-one-off', 'd-one-off', 'b-two-off']);
  expect(nearestTo(3)).toEqual([]);
});

describe('hints', () => {
  it('at a pair that is too wide to be a member', () => {
    const w = world({
      security_groups: [
        groupFields('web', [EGRESS]),
        groupFields('database', [{ id: 'in', direction: 'ingress', ...MYSQL }]),
      ],
      ports: [
        portFields(1, ['web'], { allowed_address_pairs: [{ ip_address: '0.0.0.0/0' }] }),
        portFields(2, ['database']),
      ],
    });
    expect(between(w, '192.0.2.1', 2, ports(6, 3306)).halves[1].hints).toEqual([
      'pair 0.0.0.0/0 of port port0001-0000 is wider than /8 and so no member of its groups',
    ]);
  });

  it('at groups that are stateless', () => {
    const { hints } = between(webAndDatabase(MYSQL, { stateful: false }), 2, 1, ports(6, 40_000, 3306)).halves[0];
    expect(hints).toEqual(['the groups are stateless: replies need rules of their own']);
  });

  it('and none where a rule decides', () => {
    expect(between(webAndDatabase(MYSQL), 1, 2, ports(6, 3306)).halves.flatMap(({ hints }) => hints)).toEqual([]);
  });
});

it('names cannot draw on the terminal', () => {
  const w = world({
    security_groups: [groupFields('g', [{ id: 'in', direction: 'ingress' }], { name: 'a\u001b[31m\nb' })],
    ports: [portFields(1, ['g'], { name: 'x\u001b]0;title\u0007' })],
  });
  const text = lines({
    ...between(w, '192.0.2.1', '10.0.0.1', ports(6, 1)),
    halves: between(w, '192.0.2.1', 1, ports(6, 1)).halves,
  }).join('\n');
  // eslint-disable-next-line no-control-regex -- control characters are the point
  expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f]/);
});
