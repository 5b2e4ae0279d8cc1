/** What each calculator of the incremental compiler handles, and what it leaves to be computed anew. */
import { expect, it } from 'vitest';
import { compile, DEFAULT_OPTIONS } from '../../../compiler/index.js';
import { GroupChains } from '../../../compiler/incremental/group-chains.js';
import { UsedGroups } from '../../../compiler/incremental/groups.js';
import { Known, type PortChange } from '../../../compiler/incremental/known.js';
import { Members } from '../../../compiler/incremental/members.js';
import { PortElements } from '../../../compiler/incremental/ports.js';
import { Profiles } from '../../../compiler/incremental/profiles.js';
import { HostTables } from '../../../compiler/incremental/tables.js';
import { TouchedCollector } from '../../../compiler/incremental/touched.js';
import { Zones } from '../../../compiler/incremental/zones.js';
import { EMPTY_TOPOLOGY, parseTopology, type Port } from '../../../compiler/model/index.js';
import { groupFields, portFields, type Fields } from '../../support/world.js';

const HANDLED: readonly string[] = [];

const groupsWith = (fields: Fields): readonly Fields[] => [
  groupFields('web', [{ id: 'r', direction: 'ingress', remote_group_id: 'web', ethertype: 'IPv4' }], fields),
];

function parsed(ports: readonly Fields[], groups = groupsWith({})): ReturnType<typeof parseTopology>['topology'] {
  return parseTopology([{ file: 'test', content: { security_groups: groups, ports } }]).topology;
}

function port(number: number, fields: Fields = {}): Port {
  const [only] = parsed([portFields(number, ['web'], fields)]).ports.values();
  if (only === undefined) throw new Error('the port is not valid');
  return only;
}

const known = (): Known => {
  const all = new Known();
  for (const group of parsed([]).securityGroups.values()) all.securityGroups.set(group.id, group);
  return all;
};

const tables = (): HostTables =>
  new HostTables(compile(EMPTY_TOPOLOGY, () => true, DEFAULT_OPTIONS).ruleset, DEFAULT_OPTIONS);

/** Tells a calculator of ports one after the other; what each leaves to be computed anew. */
function told(
  of: Known,
  calculator: { readonly change: (change: PortChange) => readonly string[] },
  ...changes: readonly (readonly ['came' | 'went', Port])[]
): readonly (readonly string[])[] {
  return changes.map(([way, one]) => {
    const change = { kind: `port-${way}`, port: one } as const;
    of.changePort(change, true);
    return calculator.change(change);
  });
}

const [one, two] = [port(1), port(2)];
const COME_AND_GO = [
  ['came', one],
  ['came', two],
  ['went', one],
  ['went', two],
] as const;

it('ports: each is handled; a group that became stateless has its ports computed anew', () => {
  const all = known();
  const ports = new PortElements(all, tables(), 'routed');
  expect(told(all, ports, ['came', one], ['came', two], ['went', two])).toEqual([HANDLED, HANDLED, HANDLED]);
  expect(ports.change({ kind: 'group', id: 'web' })).toEqual(HANDLED);
  for (const group of parsed([], groupsWith({ stateful: false })).securityGroups.values()) {
    all.securityGroups.set(group.id, group);
  }
  expect(ports.change({ kind: 'group', id: 'web' })).toEqual([one.id]);
});

it('groups: the first port of one and the last are computed anew, those between are handled', () => {
  const all = known();
  expect(told(all, new UsedGroups(all), ...COME_AND_GO)).toEqual([['web'], HANDLED, HANDLED, ['web']]);
});

it('groups: what is computed anew feeds whoever has the group, or one whose name changes with it', () => {
  const all = known();
  const [ids, long] = [['aaaaaaaa-1', 'aaaaaaaa-2'], new UsedGroups(all)];
  for (const group of parsed(
    [],
    ids.map((id) => groupFields(id, [])),
  ).securityGroups.values()) {
    all.securityGroups.set(group.id, group);
  }
  const having = (id: string): Port => ({ ...one, id: `port of ${id}`, securityGroupIds: [id] });
  told(all, long, ['came', having('aaaaaaaa-1')]);
  expect(long.recompute(new Set(['aaaaaaaa-1', 'not here']))).toEqual(['aaaaaaaa-1']);
  told(all, long, ['came', having('aaaaaaaa-2')]);
  expect(long.recompute(new Set(['aaaaaaaa-2']))).toEqual(['aaaaaaaa-2', 'aaaaaaaa-1']);
});

it('members: an address is handled, a prefix computed anew; groups hear of a set only when its name is another one', () => {
  const all = known();
  const members = new Members(all, tables(), new TouchedCollector(), DEFAULT_OPTIONS);
  const named = members.change({ kind: 'group', id: 'web', group: all.securityGroups.get('web') });
  expect(named).toHaveLength(1);
  expect(members.recompute(new Set(named))).toEqual(['web']);
  expect(told(all, members, ['came', one], ['went', one])).toEqual([HANDLED, HANDLED]);
  const pairs = (...prefixes: readonly string[]): Fields => ({
    allowed_address_pairs: prefixes.map((prefix) => ({ ip_address: prefix })),
  });
  const [wide, wider] = [port(3, pairs('10.8.0.0/24')), port(4, pairs('10.9.0.0/24'))];
  expect(told(all, members, ['came', wide])).toEqual([named]);
  expect(members.recompute(new Set(named))).toEqual(['web']);
  expect(told(all, members, ['came', wider])).toEqual([named]);
  expect(members.recompute(new Set(named))).toEqual([]);
});

it('profiles: the first port of one and the last are computed anew, those between are handled', () => {
  const all = known();
  const profiles = new Profiles(all, new UsedGroups(all), tables(), 'routed');
  const [first, ...others] = told(all, profiles, ...COME_AND_GO);
  expect(first).toHaveLength(1);
  expect(others).toEqual([HANDLED, HANDLED, first]);
  expect(profiles.change({ kind: 'group', id: 'web' })).toEqual(first);
});

it('chains of groups: profiles hear of a group that came, went, is called otherwise or became stateless, and not of its rules', () => {
  const all = known();
  const groups = new UsedGroups(all);
  const members = new Members(all, tables(), new TouchedCollector(), DEFAULT_OPTIONS);
  const chains = new GroupChains(groups, members, tables());
  all.changePort({ kind: 'port-came', port: one }, true);
  const changed = (fields: Fields | undefined): readonly string[] => {
    all.securityGroups.delete('web');
    const now = fields === undefined ? [] : groupsWith(fields);
    for (const group of parsed([], now).securityGroups.values()) all.securityGroups.set(group.id, group);
    groups.recompute(new Set(['web']));
    return chains.recompute(new Set(['web']));
  };
  expect(changed({})).toEqual(['web']);
  expect(changed({ security_group_rules: [{ id: 's', direction: 'ingress', protocol: 'tcp' }] })).toEqual([]);
  expect(changed({ name: 'other' })).toEqual(['web']);
  expect(changed({ name: 'other', stateful: false })).toEqual(['web']);
  expect(changed(undefined)).toEqual(['web']);
  expect(changed(undefined)).toEqual([]);
  expect(changed({})).toEqual(['web']);
});

it('zones: computed anew only while networks use one address', () => {
  const all = known();
  const zones = new Zones(all, tables(), 'routed');
  const same = port(2, {
    network_id: 'net00002-0000',
    fixed_ips: one.fixedIps.map(({ text }) => ({ ip_address: text })),
  });
  expect(told(all, zones, ['came', one], ['came', two], ['went', two])).toEqual([HANDLED, HANDLED, HANDLED]);
  expect(told(all, zones, ['came', same], ['went', same], ['came', two])).toEqual([['all'], ['all'], HANDLED]);
});
