/** What `stats` says, from a listing as the kernel gives it and a topology; that the kernel counts so is in kernel/agent.test.ts. */
import { expect, it } from 'vitest';
import { countersIn } from '../../../agent/index.js';
import { iptablesCountersIn } from '../../../agent/kernel/iptables-counters.js';
import {
  compile,
  DEFAULT_OPTIONS,
  HostCompiler,
  legendOf,
  ruleComment,
  ruleText,
  type Legend,
  type Rule,
} from '../../../compiler/index.js';
import { diffTopologies, EMPTY_TOPOLOGY, parseTopology } from '../../../compiler/model/index.js';
import { renderStats } from '../../../src/cli/stats/render.js';
import { reportOf, type StatsReport } from '../../../src/cli/stats/report.js';

const idOf = (number: number): string => `5c5b8a6e-0000-4000-8000-00000000000${number.toString()}`;
// Three are looked up in a set, and so counted together.
const [HTTP, HTTPS, PROXY, SSH] = [idOf(1), idOf(2), idOf(3), 'ssh-rule'];
const { topology } = parseTopology([
  {
    file: 't.json',
    content: {
      security_groups: [
        {
          id: 'web-group-id',
          name: 'web',
          security_group_rules: [
            { id: HTTP, direction: 'ingress', protocol: 'tcp', port_range_min: 80, port_range_max: 80 },
            { id: HTTPS, direction: 'ingress', protocol: 'tcp', port_range_min: 443, port_range_max: 443 },
            { id: PROXY, direction: 'ingress', protocol: 'tcp', port_range_min: 8080, port_range_max: 8080 },
            { id: SSH, direction: 'ingress', protocol: 'tcp', remote_group_id: 'web-group-id' },
          ],
        },
      ],
      ports: [
        {
          id: 'port-1-of-web',
          name: 'web-1',
          device: 'tapweb1',
          network_id: 'n',
          mac_address: '02:00:00:00:00:01',
          fixed_ips: [{ ip_address: '10.0.0.1' }],
          security_groups: ['web'],
        },
      ],
    },
  },
]);

function legend(): Legend {
  const compiler = new HostCompiler(() => true, DEFAULT_OPTIONS);
  compiler.update(diffTopologies(EMPTY_TOPOLOGY, topology));
  return legendOf(compiler, compiler.localPorts());
}

type Counted = (chain: string, comment: string) => number;

/** What the kernel would list of these rules, had it counted so. */
function report(
  packets: Counted,
  { audit = false, sets = [], isKnown = true }: { audit?: boolean; sets?: readonly object[]; isKnown?: boolean } = {},
): StatsReport {
  const { ruleset } = compile(topology, () => true, { ...DEFAULT_OPTIONS, audit });
  const listed = (chain: string, rule: Rule): object => {
    const count = packets(chain, rule.comment);
    const verdict = rule.action.kind === 'verdict' ? { [rule.action.verdict.kind]: null } : {};
    const comment = ruleComment(ruleText(rule), rule.comment);
    return { rule: { chain, comment, expr: [{ counter: { packets: count, bytes: 100 * count } }, verdict] } };
  };
  const listings = ruleset.tables.map(({ family, chains }) => ({
    family,
    json: {
      nftables: [
        { metainfo: {} },
        ...[...chains.values()].flatMap(({ name, rules }) =>
          rules.filter(({ counter }) => counter).map((rule) => listed(name, rule)),
        ),
        ...(family === 'inet' ? sets : []),
      ],
    },
  }));
  const begun = '2026-01-02T03:04:05.000Z';
  const since = {
    begun,
    tables: { inet: begun, arp: begun, bridge: begun },
    chains: { 'inet sg_web_grou_in': '2026-02-01T00:00:00.000Z' },
  };
  return isKnown
    ? reportOf(countersIn(listings), { legend: legend(), by: 'agent' }, since)
    : reportOf(countersIn(listings), undefined, undefined);
}

const plain = (text: string): string => text;
const paint = { bold: plain, red: plain, green: plain, dim: plain };
const lines = (of: StatsReport, more: { all?: boolean; nameless?: string } = {}): readonly string[] =>
  renderStats(of, { all: false, paint, nameless: undefined, ...more });

const dropped = (set: string, device: string, packets: number): object => ({
  set: { name: set, elem: [{ elem: { val: device, counter: { packets, bytes: 60 * packets } } }] },
});

const COUNTS: Counted = (chain, comment) => {
  if (chain === 'sg_web_grou_in') return comment.includes('ssh-rule') ? 7 : 40;
  if (comment === 'no rule allows it' && chain.endsWith('_in')) return 3;
  if (comment === 'spoofed IPv4 source') return 5;
  return comment.includes('MLD reports') ? 11 : 0;
};

it('what was dropped comes first, by port and by reason; then rules with whole ids, in words; noise apart; zeros in one line', () => {
  expect(
    lines(
      report(COUNTS, { sets: [dropped('dropped_to_port', 'tapweb1', 3), dropped('dropped_from_port', 'tapx', 5)] }),
    ),
  ).toEqual([
    'counted since 2026-01-02T03:04:05.000Z',
    'not let through, by port:',
    'PACKETS  BYTES  DIRECTION  DEVICE   PORT',
    '      5    300  egress     tapx     -',
    '      3    180  ingress    tapweb1  web-1 (port-1-of-web)',
    'not let through, by reason:',
    'PACKETS  BYTES  CHAIN                    REASON',
    '      5    500  source4                  spoofed IPv4 source',
    expect.stringMatching(/^ {6}3 {4}300 {2}profile_[0-9a-f]{12}_in {2}no rule allows it$/),
    'let through, by rule:',
    'PACKETS  BYTES  GROUP  RULE',
    `     40   4000  web    ${HTTP}: ingress IPv4 tcp 80 from anywhere; and 2 more (since 2026-02-01T00:00:00.000Z)`,
    `      7    700  web    ${SSH}: ingress IPv4 tcp from group web (since 2026-02-01T00:00:00.000Z)`,
    'noise, nobody’s loss: MLD reports 11',
    expect.stringMatching(/^\d+ other rules never matched: --all shows them$/),
  ]);
});

it('--all shows each rule of a line that stands for several, and what never matched', () => {
  const all = lines(report(COUNTS), { all: true }).join('\n');
  expect(all).toContain(`${HTTP}: ingress IPv4 tcp 80 from anywhere; ${HTTPS}: ingress IPv4 tcp 443 from anywhere`);
  expect(all).toContain('acts as DHCP server or router');
  expect(all).not.toContain('never matched');
});

it('who has no topology says so, and names rules by what is loaded of them', () => {
  const said = lines(report(COUNTS, { isKnown: false }), { nameless: 'no agent answers' });
  expect(said.slice(0, 2)).toEqual([
    'counted since these rules were loaded; when that was, a running agent would know',
    'no agent answers',
  ]);
  expect(said.join('\n')).toContain('sg_web_grou_in  web: rules 5c5b8a6e-0000 5c5b8a6e-0000 5c5b8a6e-0000');
});

const flow = (set: string, ...val: readonly unknown[]): object => ({
  set: { name: set, elem: [{ elem: { val: { concat: val }, expires: 5, counter: { packets: 3, bytes: 180 } } }] },
});

it('audit says who would be dropped from whom to which port, in which chain and why, under names of its own', () => {
  const sets = [
    dropped('audited_to_port', 'tapweb1', 3),
    flow('audit_profile_in_4', 'tapweb1', '10.0.0.9', '10.0.0.1', 6, 22),
    flow('audit_source6_6', 'tapweb1', 'fd00::9', 'fd00::1', 58, 0x8000),
  ];
  const audited = report((chain, comment) => (comment.endsWith('no rule allows it') && chain.endsWith('_in') ? 3 : 0), {
    audit: true,
    sets,
  });
  expect([audited.mode, audited.drops, audited.audited.drops]).toMatchObject([
    'audit',
    [],
    [{ device: 'tapweb1', direction: 'ingress', packets: 3, port: { id: 'port-1-of-web' } }],
  ]);
  const said = lines(audited);
  expect(said[0]).toContain('NOTHING IS ENFORCED');
  expect(said).toContain('would not be let through, by port:');
  const [, , ...flows] = said.slice(said.indexOf('who would be dropped, from whom to which port:'));
  expect(flows.slice(0, 2).map((line) => line.split(/ {2,}/).slice(1))).toEqual([
    ['3', '180', 'tapweb1', '10.0.0.9', '10.0.0.1 (web-1)', 'tcp 22', 'profile_in', 'no rule allows it'],
    ['3', '180', 'tapweb1', 'fd00::9', 'fd00::1', 'ipv6-icmp type 128 code 0', 'source6', 'spoofed IPv6 source'],
  ]);
});

it('rules of iptables are told by their chains, and groups by theirs', () => {
  const listing = [
    '*mangle',
    ':pc-profile_4f6a_in - [0:0]',
    '[9:900] -A pc-profile_4f6a_in -j pc-sg_web_grou_in',
    '[1:60] -A pc-profile_4f6a_in -j DROP',
    '[2:120] -A pc-profile_4f6a_in -j DROP',
    '[4:400] -A pc-sg_web_grou_in -p tcp -m multiport --dports 80,443 -g pc-admit_in',
    '[7:700] -A pc-sg_web_grou_in -p tcp -j LOG',
    '[5:300] -A pc-egress -i tap+ -j DROP',
    '[8:480] -A theirs -j DROP',
    'COMMIT',
  ].join('\n');
  const counters = { ...countersIn([]), rules: iptablesCountersIn('IPv4', listing) };
  expect(lines(reportOf(counters, { legend: legend(), by: 'agent' }, undefined)).slice(1)).toEqual([
    'rules of iptables count since each was written last, and drops there are not counted by port',
    'not let through, by reason:',
    'PACKETS  BYTES  CHAIN               REASON',
    '      5    300  pc-egress           device of no known port',
    '      3    180  pc-profile_4f6a_in  no rule allows it',
    'let through, by rule:',
    'PACKETS  BYTES  GROUP  RULE',
    '      4    400  web    -p tcp -m multiport --dports 80,443',
  ]);
});

it('what tenants call their ports does nothing on a terminal', () => {
  const evil = { ...legend(), ports: legend().ports.map((port) => ({ ...port, name: 'a\u001b[2J\nb' })) };
  const drops = [{ device: 'tapweb1', direction: 'ingress' as const, packets: 1, bytes: 60 }];
  const rules = iptablesCountersIn('IPv4', '*mangle\n[1:60] -A pc-profile_4f6a_in -j DROP\nCOMMIT');
  const counters = { ...countersIn([]), rules, drops };
  const said = lines(reportOf(counters, { legend: evil, by: 'agent' }, undefined));
  expect(said).toContain('      1     60  ingress    tapweb1  a\\u{1b}[2J\\u{a}b (port-1-of-web)');
});

it('nothing that is loaded is no table of zeros', () => {
  expect(lines(reportOf(countersIn([]), undefined, undefined))).toEqual([
    'nothing of ours is loaded: nothing is counted',
  ]);
});
