/** A difference in the words of the topology. That rules read back from a kernel are told alike: kernel/plan.test.ts, lab/golden-suite.ts. */
import pico from 'picocolors';
import { expect, it } from 'vitest';
import {
  EMPTY_PROGRAM,
  planIptables,
  printIptablesRule,
  readIptablesRule,
  readComment,
  stateOf,
  type Compiled,
  type IptablesChain,
} from '../../../compiler/index.js';
import type { RulesOfTable } from '../../../agent/index.js';
import { asListed } from '../../../compiler/listing.js';
import type { PlanLine } from '../../../src/cli/plan/line.js';
import { planLines, sidesOf, unsaidOf, type Judging } from '../../../src/cli/plan/plan.js';
import { renderPlan } from '../../../src/cli/plan/render.js';
import { NAMED_TOPOLOGIES } from '../../support/named-topologies.js';
import {
  BEFORE,
  CHANGES,
  DB,
  differenceBetween,
  group,
  planBetween,
  policyOf,
  port,
  shown,
  tcp,
  WEB,
  withoutIdsOfGone,
  type Fields,
  type Policy,
} from '../../support/plan-changes.js';

/** As it is read back from the kernel. */
function loadedAs({ ruleset }: Compiled): RulesOfTable | undefined {
  const table = ruleset.tables.find(({ family }) => family === (ruleset.datapath === 'routed' ? 'inet' : 'bridge'));
  if (table === undefined) return undefined;
  const state = stateOf(table);
  const rules = [...table.chains].map(([name, chain]) => {
    const comments = state.chains.get(name)?.comments ?? [];
    const listed = chain.rules.map((rule, index) => ({
      ...asListed(rule),
      label: readComment(comments[index] ?? '').label,
    }));
    return [name, listed] as const;
  });
  return { table: state, rules: new Map(rules) };
}

/** As if that were loaded. */
const judging = {
  nftables: (before: Policy | undefined): Judging => ({
    backend: 'nftables',
    loaded: before === undefined ? undefined : loadedAs(before.compiled),
  }),
  iptables: (before: Policy | undefined, after: Policy): Judging => ({
    backend: 'iptables',
    loaded: before?.program ?? EMPTY_PROGRAM,
    wanted: after.program,
  }),
};

/** What nftables says of a change. */
function planOf(before: Policy | undefined, after: Policy): readonly string[] {
  return planBetween(before, after, judging.nftables(before)).map(shown);
}

/** What iptables says of it. */
function planOfIptables(before: Policy | undefined, after: Policy): readonly string[] {
  return planBetween(before, after, judging.iptables(before, after)).map(shown);
}

it.each(CHANGES)('%s: the same words with nftables and with iptables', (_what, change, lines) => {
  for (const datapath of ['routed', 'bridge', 'bridge-netfilter'] as const) {
    const [before, after] = [policyOf(BEFORE, datapath), policyOf({ ...BEFORE, ...change }, datapath)];
    expect(planOf(before, after), datapath).toEqual(lines);
    if (datapath !== 'bridge') expect(planOfIptables(before, after), datapath).toEqual(lines.map(withoutIdsOfGone));
  }
});

it('a group that has gone is named by what comments say, what comes first by all that it brings', () => {
  const without = { security_groups: [group('web', WEB)], ports: BEFORE.ports.slice(0, 2) };
  expect(planOf(policyOf(BEFORE), policyOf(without))).toEqual([
    '- group database: no port here has it any more',
    '- device tapdb-1: its device is none of ours any more',
  ]);
  const first = [
    '+ group web: 1 rule (2 ports)',
    '+ port web-1 (tapweb-1): group web',
    '+ port web-2 (tapweb-2): group web',
  ];
  const tables = ['inet', 'arp', 'bridge'].map((family) => `+ table ${family} portcullis`);
  expect(planOf(undefined, policyOf(without))).toEqual([...first, ...tables]);
  expect(planOfIptables(undefined, policyOf(without))).toEqual([...first, '+ rules of ours in iptables', ...tables]);
});

it('a group may have the name of what every port has', () => {
  const named = { ...group('late', WEB), name: 'service traffic' };
  const ports = (groups: readonly string[]): Policy =>
    policyOf({ security_groups: [group('web', WEB), named], ports: [port('web-1', 1, groups)] });
  expect(planOf(ports(['web-1234-5678']), ports(['web-1234-5678', 'late-1234-5678']))).toContain(
    '~ port web-1 (tapweb-1): group web → groups service traffic, web',
  );
});

it('what iptables does not know of what goes is said once, and only where something goes', () => {
  const [before, without] = [
    policyOf(BEFORE),
    policyOf({ security_groups: [group('web', WEB)], ports: BEFORE.ports.slice(0, 2) }),
  ];
  expect(planOfIptables(before, without)).toEqual([
    '- a group whose id begins with database: no port here has it any more',
    '- device tapdb-1: its device is none of ours any more',
  ]);
  const moved = policyOf({
    security_groups: [group('web', WEB)],
    ports: [...BEFORE.ports.slice(0, 2), port('db-1', 3, ['web'])],
  });
  expect(planOfIptables(before, moved)).toContain('~ port db-1 (tapdb-1): group database… → group web');
  const unsaid = (after: Policy, backend: keyof typeof judging): string | undefined => {
    const judged = judging[backend](before, after);
    return unsaidOf(judged, planBetween(before, after, judged));
  };
  const more = policyOf({
    ...BEFORE,
    security_groups: [group('web', [...WEB, tcp('more', 80)]), group('database', DB)],
  });
  expect([unsaid(without, 'iptables'), unsaid(moved, 'iptables')]).toEqual(
    Array(2).fill(expect.stringContaining('iptables holds no ids of rules')),
  );
  expect([unsaid(more, 'iptables'), unsaid(without, 'nftables')]).toEqual([undefined, undefined]);
});

it('whatever changes is said, of any topology that follows another, with either backend', () => {
  const policies = Object.values(NAMED_TOPOLOGIES).map(({ document }) => policyOf(document));
  let changes = 0;
  for (const [index, after] of policies.entries()) {
    const before = policies[index - 1];
    for (const backend of ['nftables', 'iptables'] as const) {
      const { transaction, iptables } = differenceBetween(backend, before, after);
      const plan = planBetween(before, after, judging[backend](before, after));
      if (transaction.length + iptables.length > 0) expect(plan, Object.keys(NAMED_TOPOLOGIES)[index]).not.toEqual([]);
      changes += plan.length;
    }
  }
  expect(changes).toBeGreaterThan(100);
});

it('of any topology that follows another the same is said with iptables, less names and ids of what goes', () => {
  const policies = Object.values(NAMED_TOPOLOGIES).map(({ document }) => policyOf(document));
  // Of a group that the topology does not have any more the name is not known.
  const nameless = ({ sign, kind, subject, text }: PlanLine, gone: readonly string[]): string => {
    const said =
      kind === 'port'
        ? gone.reduce((all, name) => all.replaceAll(`group ${name} →`, `group ${name.slice(0, 3)}… →`), text)
        : text.replace(/^.*?: /, '').replace(/^- rule \S+ /, '- ');
    return [sign, kind, subject, said.replace(/group (\w{3})\w*… →/, 'group $1… →')].join(' ');
  };
  let compared = 0;
  for (const [index, after] of policies.entries()) {
    const before = policies[index - 1];
    const groups = [...(before?.topology.securityGroups.values() ?? [])];
    const next = after.topology.securityGroups;
    // Another name of a group is nothing to iptables.
    if (groups.some(({ id, name }) => next.has(id) && next.get(id)?.name !== name)) continue;
    const gone = groups.filter(({ id }) => !next.has(id)).map(({ name }) => name);
    compared++;
    const [one, other] = (['nftables', 'iptables'] as const).map((backend) =>
      planBetween(before, after, judging[backend](before, after))
        .filter(({ kind }) => kind !== 'rest')
        .map((line) => nameless(line, gone)),
    );
    expect(other, Object.keys(NAMED_TOPOLOGIES)[index]).toEqual(one);
  }
  expect(compared).toBeGreaterThan(20);
});

it('a group of another name, and what no line explains, which is named as the kernel names it', () => {
  const ports = [port('web-1', 1, ['web-1234-5678']), port('db-1', 3, ['database'])];
  const named = (name: string): Policy =>
    policyOf({ security_groups: [{ ...group('web', WEB), name }, group('database', DB)], ports });
  expect(planOf(named('web'), named('shop'))).toEqual([
    '~ group shop: ingress rules are written anew, and permit the same (1 port)',
    '~ port web-1 (tapweb-1): group web → group shop',
    expect.stringMatching(/^~ table inet portcullis: chain profile_\w+_out, chain profile_\w+_in$/),
  ]);
});

it('what somebody did to rules in iptables is named where no line explains it', () => {
  const after = policyOf(BEFORE);
  const { sets, families } = after.program;
  const rewritten = (name: string, rules: readonly string[]): readonly IptablesChain[] =>
    families.IPv4.mangle.map((chain) => (chain.name === name ? { name, rules: rules.map(readIptablesRule) } : chain));
  const planWith = (mangle: readonly IptablesChain[]): readonly string[] => {
    const loaded = { sets, families: { ...families, IPv4: { ...families.IPv4, mangle } } };
    const { changes } = planIptables(loaded, after.program);
    const judged: Judging = { backend: 'iptables', loaded, wanted: after.program };
    const sides = sidesOf(judged, after.topology, after.compiled);
    return planLines({ transaction: [], iptables: changes }, judged, sides, after).map(shown);
  };
  const tree = families.IPv4.mangle.find(({ name }) => name === 'pc-from')?.rules ?? [];
  expect(tree).toHaveLength(3);
  expect(planWith(rewritten('pc-from', tree.slice(1).map(printIptablesRule)))).toEqual([
    expect.stringMatching(/^~ port \S+ \(tap\S+\): may send from: \+ 10\.0\.0\.\d$/),
  ]);
  expect(planWith(rewritten('pc-state_in', ['-j ACCEPT']))).toEqual(['~ iptables: chain pc-state_in']);
  expect(planWith(rewritten('pc-sg_web_1234_in', ['-p tcp -m tcp --dport 22 -j ACCEPT']))).toEqual([
    '~ group web: + rule rule-443 tcp 443 from anywhere (IPv4) (2 ports)',
    '~ group web: - ingress rules that are not of ours (2 ports)',
  ]);
  const overtaken = families.IPv4.mangle.map((chain) =>
    chain.name === 'PREROUTING' ? { ...chain, overtaking: [{ text: '-j ACCEPT', isTerminal: true }] } : chain,
  );
  expect(planWith(overtaken)).toEqual(['~ iptables: chain PREROUTING']);
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
  expect(planOf(named('de\u001b[31mfault'), named('de\u001b[31mfault', ...WEB))).toEqual([
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
  const printed = renderPlan({ lines, cut: 4 }, pico.createColors(false));
  expect(printed.slice(49)).toEqual([
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
