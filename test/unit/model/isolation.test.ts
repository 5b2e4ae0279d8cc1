/** One bad object costs nobody but itself: docs/decisions/bad-objects.md. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compile } from '../../../compiler/index.js';
import { DEFAULT_OPTIONS } from '../../../compiler/options.js';
import { printRuleset } from '../../../compiler/nftables/text.js';
import {
  consequenceOf,
  formatIsolation,
  isolatedName,
  parseTopology,
  type ParsedTopology,
  type Port,
  type Topology,
} from '../../../compiler/model/index.js';
import { arbitraryDocument } from '../../support/arbitrary-topology.js';
import { arbitraryBreakages, broken, listOf, type Document } from '../../support/broken-topology.js';
import { expectSame } from '../../support/same.js';

type Fields = Readonly<Record<string, unknown>>;

const parse = (content: unknown, lastGood?: Topology): ParsedTopology =>
  parseTopology([{ file: 't.json', content }], lastGood === undefined ? {} : { lastGood });

const openPorts = ({ ports }: Topology): readonly Port[] =>
  [...ports.values()].filter(({ filtering }) => filtering !== 'closed');

/** Which object, and what is in force in its place. */
const told = ({ isolations }: ParsedTopology): readonly string[] =>
  isolations.map((one) => `${isolatedName(one)}: ${consequenceOf(one)}`).sort();

/** Rules of a group in force, by what they are about. */
const rulesOf = ({ topology }: ParsedTopology, id = 'g'): readonly string[] | undefined =>
  topology.securityGroups
    .get(id)
    ?.rules.map(({ id: rule, direction, remote }) => `${rule} ${direction} ${remote.kind}`)
    .sort();

function port(id: string, fields: Fields = {}): Fields {
  return {
    id: `port-${id}`,
    name: id,
    mac_address: `fa:16:3e:00:00:0${(id.codePointAt(0) ?? 0).toString().slice(-1)}`,
    network_id: 'n',
    fixed_ips: [{ ip_address: `10.0.0.${(id.codePointAt(0) ?? 0).toString()}` }],
    security_groups: ['g'],
    device: `tap-${id}`,
    'binding:host_id': 'h',
    ...fields,
  };
}

const tcp = (id: string, number: number, fields: Fields = {}): Fields => ({
  id,
  direction: 'ingress',
  protocol: 'tcp',
  port_range_min: number,
  port_range_max: number,
  ...fields,
});

const group = (rules: readonly unknown[], fields: Fields = {}): Fields => ({
  id: 'g',
  security_group_rules: rules,
  ...fields,
});

/** A topology as good as it gets: what is in force before anything breaks. */
function good(content: Document): Topology {
  const parsed = parse(content);
  expect(parsed.problems.filter(({ severity }) => severity === 'error')).toEqual([]);
  expect(parsed.isolations).toEqual([]);
  return parsed.topology;
}

describe('a rule', () => {
  const before = good({ security_groups: [group([tcp('r80', 80), tcp('r81', 81)])], ports: [port('a')] });

  it.each<[string, Fields]>([
    ['0-65535, as old databases have it', tcp('bad', 0, { port_range_max: 65535 })],
    ['443:80', tcp('bad', 443, { port_range_max: 80 })],
    ['an unknown protocol', tcp('bad', 80, { protocol: 'tcpx' })],
    ['an unknown field', tcp('bad', 80, { remote_ip: '10.0.0.0/8' })],
    ['no direction', { id: 'bad' }],
    ['an ambiguous remote group', tcp('bad', 80, { remote_group_id: 'twins' })],
  ])('with %s allows nothing, and the others of its group are in force', (_what, bad) => {
    const twins = ['x', 'y'].map((id) => ({ id, name: 'twins', security_group_rules: [] }));
    const parsed = parse({ security_groups: [group([tcp('r80', 80), bad]), ...twins], ports: [port('a')] }, before);
    expect(rulesOf(parsed)).toEqual(['r80 ingress any']);
    expect(told(parsed)).toEqual(['security group rule bad of group g: it allows nothing']);
    expect(parsed.isolations[0]?.portIds).toEqual(['port-a']);
    expect(parsed.isUsable).toBe(true);
  });

  it('keeps its last good version, and those that went beside it are gone', () => {
    const parsed = parse(
      { security_groups: [group([tcp('r80', 80, { protocol: 'tcpx' })])], ports: [port('a')] },
      before,
    );
    expect(rulesOf(parsed)).toEqual(['r80 ingress any']);
    expect(told(parsed)).toEqual(['security group rule r80 of group g: its last good version stays in force']);
    expect(openPorts(parsed.topology)).toEqual(openPorts(before));
  });

  it('without an id may be any of those without one that are gone: they stay', () => {
    const anonymous = (number: number, fields: Fields = {}): Fields => ({ ...tcp('', number, fields), id: undefined });
    const was = good({ security_groups: [group([anonymous(80), anonymous(81), tcp('r82', 82)])] });
    const parsed = parse({ security_groups: [group([anonymous(80), anonymous(81, { protocol: 'tcpx' })])] }, was);
    expect(parsed.topology.securityGroups.get('g')?.rules.map(({ service }) => service)).toEqual(
      was.securityGroups
        .get('g')
        ?.rules.filter(({ id }) => id !== 'r82')
        .map(({ service }) => service),
    );
  });

  it('whose last good version names what is gone matches nothing', () => {
    const was = good({
      security_groups: [group([tcp('r', 80, { remote_group_id: 'peers' })]), { id: 'peers', security_group_rules: [] }],
    });
    const bad = tcp('r', 80, { remote_group_id: 'peers', direction: 'in' });
    expect(rulesOf(parse({ security_groups: [group([bad])] }, was))).toEqual(['r ingress unknown']);
  });

  it('of which nobody can say whose it is does not give a group the rules of a new one', () => {
    const lost = { ...tcp('lost', 80), security_group: 'g' };
    const empty = parse({ security_groups: [{ id: 'g' }], security_group_rules: [lost] });
    expect(rulesOf(empty)).toEqual([]);
    expect(told(empty)).toEqual(['security group rule lost: it allows nothing']);
    const mistyped = { ...tcp('lost', 80), security_group_id: 'gg' };
    expect(rulesOf(parse({ security_groups: [{ id: 'g' }], security_group_rules: [mistyped] }))).toEqual([]);
    const was = good({ security_groups: [{ id: 'g' }] });
    const kept = parse({ security_groups: [{ id: 'g' }], security_group_rules: [lost] }, was);
    expect(kept.topology.securityGroups).toEqual(was.securityGroups);
  });

  it('whose id two different rules have is neither of them, in either group', () => {
    const content = {
      security_groups: [group([tcp('r', 80)]), { id: 'other', security_group_rules: [tcp('r', 81), tcp('s', 82)] }],
    };
    const parsed = parse(content);
    expect([rulesOf(parsed), rulesOf(parsed, 'other')]).toEqual([[], ['s ingress any']]);
    expect(told(parsed)).toHaveLength(2);
  });
});

describe('a group', () => {
  const rules = [tcp('r80', 80)];
  const naming = { id: 'peers', security_group_rules: [tcp('p', 1, { remote_group_id: 'g' })] };
  const before = good({
    security_groups: [group(rules), naming],
    ports: [port('a', { security_groups: ['g', 'peers'] })],
  });
  const broken = (fields: Fields): Document => ({
    security_groups: [group([tcp('r81', 81)], fields), naming],
    ports: [port('a', { security_groups: ['g', 'peers'] })],
  });

  it.each<[string, Fields]>([
    ['an unknown field', { statefull: true }],
    ['stateful that is neither', { stateful: 'no' }],
    ['rules that are no list', { security_group_rules: {} }],
    ['a name that is none', { name: ['g'] }],
  ])('with %s keeps its last good version whole; without one it has no rules and no members', (_what, fields) => {
    const kept = parse(broken(fields), before);
    expect([kept.topology.securityGroups, kept.topology.ports]).toEqual([before.securityGroups, before.ports]);
    expect(told(kept)).toEqual(['security group g: its last good version stays in force']);
    const closed = parse(broken(fields));
    expect([rulesOf(closed), rulesOf(closed, 'peers')]).toEqual([undefined, ['p ingress unknown']]);
    expect(openPorts(closed.topology).map(({ securityGroupIds }) => securityGroupIds)).toEqual([['peers']]);
    expect(told(closed)).toEqual(['security group g: it has no rules and no members']);
    expect(closed.isolations[0]?.portIds).toEqual(['port-a']);
  });

  it('that cannot be read may be the default of a project: none is made up', () => {
    const implicit = port('a', { security_groups: undefined, project_id: 'p' });
    const asks = (bad: unknown): readonly string[] | undefined =>
      openPorts(parse({ security_groups: [bad], ports: [implicit] }).topology)[0]?.securityGroupIds;
    expect(asks({ id: 'other', name: 'other', bogus: 1 })).toEqual(['default-p']);
    expect(asks({ id: 'd', name: 'default', project_id: 'q', bogus: 1 })).toEqual(['default-p']);
    expect(asks({ id: 'd', name: 'default', project_id: 'p', bogus: 1 })).toEqual([]);
    expect(asks({ id: 'd', nmae: 'default', project_id: 'p' })).toEqual([]);
    expect(asks({ id: 'not an id', name: 'default', project_id: 'p' })).toEqual([]);
    expect(asks('default')).toEqual([]);
  });

  it('that is bad keeps its name from meaning another one', () => {
    const theirs = { id: 'theirs', name: 'web', project_id: 'q', security_group_rules: [tcp('r', 22)] };
    const own = { id: 'own', name: 'web', project_id: 'p', bogus: 1 };
    const parsed = parse({
      security_groups: [theirs, own],
      ports: [port('a', { security_groups: ['web'], project_id: 'p' })],
    });
    expect(openPorts(parsed.topology)[0]?.securityGroupIds).toEqual([]);
    const nameless = parse({
      security_groups: [theirs, { ...own, id: '-' }],
      ports: [port('a', { security_groups: ['web'], project_id: 'p' })],
    });
    expect(openPorts(nameless.topology)[0]?.securityGroupIds).toEqual([]);
  });

  it('whose id was lost is recognised by its name', () => {
    const was = good({
      security_groups: [group(rules, { name: 'web', project_id: 'p' })],
      ports: [port('a', { security_groups: ['web'] })],
    });
    const now = parse(
      {
        security_groups: [group(rules, { id: null, name: 'web', project_id: 'p' })],
        ports: [port('a', { security_groups: ['web'] })],
      },
      was,
    );
    expect([now.topology.securityGroups, now.topology.ports]).toEqual([was.securityGroups, was.ports]);
  });
});

describe('an address group', () => {
  const content = (addresses: readonly string[]): Document => ({
    address_groups: [{ id: 'ag', name: 'offices', addresses }],
    security_groups: [group([tcp('r', 80, { remote_address_group_id: 'offices' })])],
    ports: [port('a')],
  });

  it('with a bad entry keeps its last good version; without one it matches nothing', () => {
    const before = good(content(['192.0.2.0/24']));
    const kept = parse(content(['198.51.100.0/24', '192.0.2.0/33']), before);
    expect(kept.topology.addressGroups).toEqual(before.addressGroups);
    expect(kept.topology.securityGroups).toEqual(before.securityGroups);
    const closed = parse(content(['198.51.100.0/24', '192.0.2.0/33']));
    expect(rulesOf(closed)).toEqual(['r ingress unknown']);
    expect(told(closed)).toEqual(['address group ag: it matches nothing']);
    expect(closed.isolations[0]?.portIds).toEqual(['port-a']);
  });
});

describe('a network', () => {
  it('that is bad keeps its last good version; without one its ports are filtered', () => {
    const content = (fields: Fields): Document => ({
      networks: [{ id: 'n', port_security_enabled: false, ...fields }],
      ports: [port('a', { security_groups: undefined })],
    });
    const before = good(content({}));
    expect(openPorts(before)[0]?.filtering).toBe('port-security-off');
    const bad = { 'provider:network_type': 'vlan', 'provider:segmentation_id': 5000 };
    expect(parse(content(bad), before).topology.ports).toEqual(before.ports);
    expect(openPorts(parse(content(bad)).topology)[0]?.filtering).toBe('filtered');
  });
});

describe('a port', () => {
  const groups = { security_groups: [group([tcp('r', 80)])] };
  const before = good({ ...groups, ports: [port('a'), port('b')] });

  it.each<[string, Fields]>([
    ['a broken address', { fixed_ips: [{ ip_address: '10.0.0.300' }] }],
    ['no MAC', { mac_address: null }],
    ['an unknown field', { security_group: ['g'] }],
    ['a device that is none', { device: 'a b' }],
    ['groups that are no list', { security_groups: 'g' }],
    ['a host that is none', { 'binding:host_id': ['h'] }],
  ])('with %s keeps its last good version; without one its device is closed', (_what, fields) => {
    const content = { ...groups, ports: [port('a', fields), port('b')] };
    const kept = parse(content, before);
    expect(kept.topology).toEqual(before);
    expect(told(kept)).toEqual(['port port-a: its last good version stays in force']);
    const closed = parse(content);
    expect(openPorts(closed.topology).map(({ id }) => id)).toEqual(['port-b']);
    const device = 'device' in fields ? 'tapport-a' : 'tap-a';
    expect(closed.topology.ports.get('port-a')).toMatchObject({
      device,
      filtering: 'closed',
      fixedIps: [],
      securityGroupIds: [],
      host: 'binding:host_id' in fields ? undefined : 'h',
    });
    expect(told(closed)).toEqual([`port port-a: its device ${device} is closed, and it is in no remote group`]);
    // What closes a device is nobody's last good version.
    const again = parse(content, closed.topology);
    expect(told(again)).toEqual(told(closed));
  });

  it('that is there twice keeps its last good version; without one all its devices are closed', () => {
    const content = { ...groups, ports: [port('a'), port('a', { device: 'tap-x' }), port('b')] };
    expect(parse(content, before).topology.ports).toEqual(before.ports);
    const closed = [...parse(content).topology.ports.values()].filter(({ filtering }) => filtering === 'closed');
    expect(closed.map(({ device }) => device).sort()).toEqual(['tap-a', 'tap-x']);
  });

  it('whose id was lost is recognised by its device or its MAC', () => {
    const now = parse({ ...groups, ports: [port('a', { id: '' }), port('b', { id: 7, device: null })] }, before);
    expect(now.topology.ports).toEqual(before.ports);
  });

  it('keeps its groups as far as they are there, and is closed where they do not go together any more', () => {
    const stateless = { id: 's', stateful: false, security_group_rules: [] };
    const was = good({
      security_groups: [group([]), { ...stateless, stateful: true }],
      ports: [port('a', { security_groups: ['g', 's'] })],
    });
    const bad = port('a', { security_groups: ['g', 's'], bogus: 1 });
    const less = parse({ security_groups: [group([])], ports: [bad] }, was);
    expect(openPorts(less.topology).map(({ securityGroupIds }) => securityGroupIds)).toEqual([['g']]);
    const mixed = parse({ security_groups: [group([]), stateless], ports: [bad] }, was);
    expect([...mixed.topology.ports.values()].map(({ filtering }) => filtering)).toEqual(['closed']);
  });
});

describe('a device that two ports claim', () => {
  const groups = { security_groups: [group([tcp('r', 80)])] };
  const inForce = ({ topology }: ParsedTopology): Fields =>
    Object.fromEntries([...topology.ports.values()].map(({ id, filtering, device }) => [id, `${filtering} ${device}`]));
  const before = good({ ...groups, ports: [port('a'), port('b')] });

  it('stays with the one that had it, in its new version', () => {
    const parsed = parse({ ...groups, ports: [port('a', { name: 'new' }), port('c', { device: 'tap-a' })] }, before);
    expect(inForce(parsed)).toEqual({ 'port-a': 'filtered tap-a' });
    expect(parsed.topology.ports.get('port-a')?.name).toBe('new');
    expect(told(parsed)).toEqual(['port port-c: it is in no remote group, and has no device of its own to close']);
    expect(parsed.isolations[0] === undefined ? '' : formatIsolation(parsed.isolations[0])).toContain(
      'port-a had it before',
    );
  });

  it('stays with the one that had it when that one is bad, and still names it', () => {
    const parsed = parse({ ...groups, ports: [port('a', { bogus: 1 }), port('c', { device: 'tap-a' })] }, before);
    expect(inForce(parsed)).toEqual({ 'port-a': 'filtered tap-a' });
  });

  it('goes to the new one when the bad one names another', () => {
    const ports = [port('a', { device: 'tap-z', bogus: 1 }), port('c', { device: 'tap-a' })];
    expect(inForce(parse({ ...groups, ports }, before))).toEqual({
      'port-a': 'closed tap-z',
      'port-c': 'filtered tap-a',
    });
  });

  it('does not go to a port that had another: that one keeps what it had', () => {
    const parsed = parse({ ...groups, ports: [port('a'), port('b', { device: 'tap-a' })] }, before);
    expect(inForce(parsed)).toEqual({ 'port-a': 'filtered tap-a', 'port-b': 'filtered tap-b' });
  });

  it('and that none of them had is closed', () => {
    const parsed = parse(
      { ...groups, ports: [port('c', { device: 'tap-n' }), port('d', { device: 'tap-n' })] },
      before,
    );
    expect(inForce(parsed)).toEqual({ 'port-c': 'closed tap-n' });
    expect(told(parsed)).toHaveLength(2);
    expect(parsed.isolations.every(({ hosts }) => hosts.join() === 'h')).toBe(true);
  });

  it('on two hosts is two devices, also where one of them is on its way to the other', () => {
    const there = port('c', { device: 'tap-a', 'binding:host_id': 'other' });
    expect(parse({ ...groups, ports: [port('a'), there] }).isolations).toEqual([]);
    const moving = { ...there, 'binding:profile': { migrating_to: 'h' } };
    expect(inForce(parse({ ...groups, ports: [port('a'), moving] }, before))).toEqual({
      'port-a': 'filtered tap-a',
      'port-c': 'closed tap-a',
    });
  });
});

describe('what is wrong with a document as a whole', () => {
  it.each<[string, unknown]>([
    ['no topology', null],
    ['no key of one', {}],
    ['a misspelt key', { ports: [], security_group: [] }],
    ['a list that is none', { ports: [], security_groups: {} }],
    ['a key without a value', { ports: null }],
    ['one page of several', { ports: [], ports_links: [{ rel: 'next' }] }],
  ])('(%s) is no object’s', (_what, content) => {
    expect(parse(content)).toMatchObject({ isUsable: false, isolations: [] });
  });

  it('is not what is wrong with one entry', () => {
    expect(parse({ ports: [5, null], security_groups: ['x'], security_group_rules: [[]] })).toMatchObject({
      isUsable: true,
    });
  });
});

// Any topology, and any objects of it that break

function rulesetOf(topology: Topology, isLocal: (port: Port) => boolean): string {
  return printRuleset(compile(topology, isLocal, { ...DEFAULT_OPTIONS, datapath: 'bridge' }).ruleset);
}

describe('any objects of any topology that break', () => {
  it('change nothing that is in force, as long as there are their last good versions', () => {
    fc.assert(
      fc.property(arbitraryDocument(), arbitraryBreakages, (content, choices) => {
        const { topology: before } = parse(content);
        const { bad } = broken(content, choices);
        const { topology, isUsable } = parse(bad, before);
        expect(isUsable).toBe(true);
        expect(rulesetOf(topology, () => true)).toBe(rulesetOf(before, () => true));
        expectSame(topology.ports, before.ports);
      }),
      { numRuns: 200 },
    );
  });

  it('are what they are without them for everybody else, where there are none', () => {
    fc.assert(
      fc.property(arbitraryDocument(), arbitraryBreakages, (content, choices) => {
        const { bad, without } = broken(content, choices);
        const [isolated, expected] = [parse(bad), parse(without)];
        expect(isolated.isUsable).toBe(true);
        const isOpen = ({ filtering }: Port): boolean => filtering !== 'closed';
        expect(rulesetOf(isolated.topology, isOpen)).toBe(rulesetOf(expected.topology, () => true));
        expectSame(openPorts(isolated.topology), openPorts(expected.topology));
        // Whatever is broken is closed, and named.
        const gone = listOf(content, 'ports').length - listOf(without, 'ports').length;
        expect(isolated.topology.ports.size - expected.topology.ports.size).toBeGreaterThanOrEqual(gone);
        expect(isolated.isolations.length > 0).toBe(JSON.stringify(bad) !== JSON.stringify(content));
        expect(isolated.isolations.every(({ problems }) => problems.length > 0)).toBe(true);
      }),
      { numRuns: 200 },
    );
  });

  it('are told alike, in whatever order they stand', () => {
    fc.assert(
      fc.property(arbitraryDocument(), arbitraryBreakages, (content, choices) => {
        const { topology: before } = parse(content);
        const { bad } = broken(content, choices);
        const reversed = Object.fromEntries(
          Object.entries(bad).map(([key, list]) => [key, (list as readonly unknown[]).toReversed()]),
        );
        for (const lastGood of [undefined, before]) {
          const [one, other] = [parse(bad, lastGood), parse(reversed, lastGood)];
          expect(rulesetOf(other.topology, () => true)).toBe(rulesetOf(one.topology, () => true));
          expect(told(other)).toEqual(told(one));
        }
      }),
      { numRuns: 100 },
    );
  });
});
