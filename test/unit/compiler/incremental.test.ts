/** Changes compiled one by one give what a compilation from scratch gives. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  besideIptables,
  compile,
  DEFAULT_OPTIONS,
  EMPTY_PROGRAM,
  HostCompiler,
  hostPolicy,
  IptablesMemory,
  iptablesProgram,
  iptablesRules,
  memberChanges,
  planIptables,
  planTransaction,
  printIptablesRule,
  type Datapath,
  type Transaction,
} from '../../../compiler/index.js';
import {
  diffTopologies,
  EMPTY_TOPOLOGY,
  FAMILIES,
  parseTopology,
  type Port,
  type Topology,
} from '../../../compiler/model/index.js';
import { arbitraryDocument } from '../../support/arbitrary-topology.js';
import { expectSame } from '../../support/same.js';
import { iptablesStateOf, SimulatedIptables } from '../../support/simulated-iptables.js';
import { SimulatedTables, sortedStates } from '../../support/simulated-table.js';
import { groupFields, portFields, type Fields } from '../../support/world.js';

const isLocal = (port: Port): boolean => port.host === 'host-1' || port.host === undefined;

const topologyOf = (content: Fields): Topology => parseTopology([{ file: 'random', content }]).topology;

type Document = Readonly<Record<string, readonly Readonly<Record<string, unknown>>[]>>;

/** Each port, group and address group from one document or the other. */
function mixed(one: Document, other: Document, numbers: Iterator<number>): Document {
  const keys = [...new Set([...Object.keys(one), ...Object.keys(other)])];
  return Object.fromEntries(
    keys.map((key) => {
      const ids = [...new Set([...(one[key] ?? []), ...(other[key] ?? [])].map(({ id }) => id))];
      const pick = (id: unknown): readonly Readonly<Record<string, unknown>>[] => {
        const from = Number(numbers.next().value) % 2 === 0 ? one : other;
        return (from[key] ?? []).filter((item) => item['id'] === id);
      };
      return [key, ids.flatMap(pick)];
    }),
  );
}

/** Each document, and two between it and the next. */
function topologiesOf(documents: readonly object[], numbers: Iterator<number>): readonly Topology[] {
  return documents.flatMap((document, index) => {
    const [one, two] = [document as Document, (documents[index + 1] ?? {}) as Document];
    return [one, mixed(one, two, numbers), mixed(one, two, numbers)].map(topologyOf);
  });
}

/** Topologies one after the other, down to nothing; `takes`: whether what changed goes into a transaction now. */
type Compare = (topologies: readonly Topology[], takes: Iterator<boolean>) => void;

/** All kinds of host go through the same topologies: to draw and to read them takes as long as to compile them. */
function forRandomChanges(numRuns: number, maxLength: number, kinds: readonly Compare[]): void {
  fc.assert(
    fc.property(
      fc.array(arbitraryDocument(), { minLength: 2, maxLength }),
      fc.infiniteStream(fc.nat()),
      fc.infiniteStream(fc.boolean()),
      (documents, numbers, takes) => {
        const topologies = [...topologiesOf(documents, numbers), EMPTY_TOPOLOGY];
        for (const compare of kinds) compare(topologies, takes);
      },
    ),
    { numRuns },
  );
}

function compareTables(datapath: Datapath, audit: boolean): Compare {
  const options = { ...DEFAULT_OPTIONS, datapath, audit };
  const nothing = compile(EMPTY_TOPOLOGY, isLocal, options).ruleset.tables;
  return (topologies, takes) => {
    const compiler = new HostCompiler(isLocal, options);
    const kernel = new SimulatedTables(nothing);
    let before = EMPTY_TOPOLOGY;
    for (const after of topologies) {
      compiler.update(diffTopologies(before, after));
      before = after;
      // Several changes may go into one transaction.
      if (takes.next().value === true && after !== EMPTY_TOPOLOGY) continue;
      kernel.apply(compiler.take().transaction);
      const scratch = sortedStates(compile(after, isLocal, options).ruleset.tables);
      expectSame(kernel.states(), scratch, `${datapath}, audit ${audit.toString()}`);
    }
  };
}

/**
 * As the agent does it: changes of members from the compiler's steps, everything else compiled and compared; the tables beside, where a port of
 * this host is another one.
 */
function compareIptables(datapath: Datapath): Compare {
  const options = { ...DEFAULT_OPTIONS, datapath };
  return (topologies, takes) => {
    const compiler = new HostCompiler(isLocal, options);
    const [kernel, memory] = [new SimulatedIptables(), new IptablesMemory()];
    let rules = iptablesRules(compiler.policy(), options, memory);
    kernel.carryOut(planIptables(EMPTY_PROGRAM, rules).steps);
    const beside = new SimulatedTables(besideIptables(compiler.policy(), options));
    let before = EMPTY_TOPOLOGY;
    for (const after of topologies) {
      compiler.update(diffTopologies(before, after));
      before = after;
      if (takes.next().value === true && after !== EMPTY_TOPOLOGY) continue;
      const { transaction, touched } = compiler.take();
      const { sets, isMore } = memberChanges(transaction, touched.isLocal);
      const wanted = isMore ? iptablesRules(compiler.policy(), options, memory) : rules;
      kernel.carryOut(planIptables(rules, wanted, sets).steps);
      rules = wanted;
      if (touched.isLocal) beside.apply(planTransaction(besideIptables(compiler.policy(), options), beside.states()));
      const policy = hostPolicy(after, isLocal, options);
      expectSame(kernel.state(), iptablesStateOf(iptablesProgram(policy, options)), `iptables, ${datapath}`);
      expectSame(beside.states(), sortedStates(besideIptables(policy, options)), `beside iptables, ${datapath}`);
    }
  };
}

it('any sequence of changes ends where a compilation from scratch ends, on every datapath', () => {
  forRandomChanges(100, 5, [
    compareTables('routed', false),
    compareTables('bridge', false),
    compareTables('bridge-netfilter', false),
    compareTables('routed', true),
    compareTables('bridge', true),
  ]);
});

it('iptables: any sequence of changes ends where a compilation from scratch ends, on every datapath', () => {
  forRandomChanges(100, 4, [compareIptables('routed'), compareIptables('bridge-netfilter')]);
});

it('iptables: an address that an unfiltered port takes is no stateless port’s any more, though nftables has nothing to do', () => {
  const port = (id: string, address: string, more: Fields): Fields => ({
    id,
    network_id: 'n',
    mac_address: `fa:16:3e:00:00:0${id}`,
    fixed_ips: [{ ip_address: address }],
    'binding:host_id': 'host-1',
    ...more,
  });
  const document = (address: string): Fields => ({
    security_groups: [{ id: 'free', stateful: false, security_group_rules: [] }],
    ports: [
      port('1', '10.0.0.1', { security_groups: ['free'] }),
      port('2', '10.0.0.2', { security_groups: ['free'] }),
      port('3', '10.0.0.3', { security_groups: ['free'] }),
      port('4', address, { device_owner: 'network:dhcp' }),
    ],
  });
  const [one, two] = [topologyOf(document('10.0.0.9')), topologyOf(document('10.0.0.1'))];
  const compiler = new HostCompiler(isLocal, { ...DEFAULT_OPTIONS, datapath: 'bridge-netfilter' });
  compiler.update(diffTopologies(EMPTY_TOPOLOGY, one));
  compiler.take();
  compiler.update(diffTopologies(one, two));
  const { transaction, touched } = compiler.take();
  expect([transaction, memberChanges(transaction, touched.isLocal).isMore]).toEqual([[], true]);
});

it('iptables: an address group may name 0.0.0.0 and ::, which no set of ipset takes', () => {
  const one: Fields = {
    id: '1',
    network_id: 'n',
    mac_address: 'fa:16:3e:00:00:01',
    fixed_ips: [{ ip_address: '10.0.0.1' }],
    security_groups: ['g'],
    'binding:host_id': 'host-1',
  };
  const asks = ['IPv4', 'IPv6'].map((ethertype) => ({
    ...{ direction: 'ingress', protocol: 'udp', ethertype },
    remote_address_group_id: 'nobody',
  }));
  const all = ['0.0.0.0/32', '10.0.0.9/32', '::/128', '2001:db8::1/128', '0.0.0.0/0', '0.0.0.0/1', '::/0', '8000::/1'];
  const topologies = [all.slice(1, 2), all.slice(0, 4), all.slice(2, 4), all, all.slice(5), []].map((addresses) =>
    topologyOf({
      ports: [one],
      security_groups: [{ id: 'g', security_group_rules: asks }],
      address_groups: [{ id: 'nobody', addresses }],
    }),
  );
  compareIptables('bridge-netfilter')([...topologies, EMPTY_TOPOLOGY], [].values());
  const options = { ...DEFAULT_OPTIONS, datapath: 'bridge-netfilter' } as const;
  const { families } = iptablesProgram(hostPolicy(topologies[1] ?? EMPTY_TOPOLOGY, isLocal, options), options);
  const rules = FAMILIES.map(
    (family) => families[family].mangle.find(({ name }) => name === 'pc-sg_g_in')?.rules ?? [],
  );
  expect(rules.map((some) => some.map(printIptablesRule))).toEqual([
    ['-p udp -m set --match-set pc-ag_nobody_addresses4 src -g pc-admit_in', '-s 0.0.0.0/32 -p udp -g pc-admit_in'],
    ['-p udp -m set --match-set pc-ag_nobody_addresses6 src -g pc-admit_in', '-s ::/128 -p udp -g pc-admit_in'],
  ]);
});

/** A compiler that has taken in a document, and what a second document changes. */
function change(before: Fields, after: Fields): Transaction {
  const [one, two] = [topologyOf(before), topologyOf(after)];
  const compiler = new HostCompiler(isLocal, DEFAULT_OPTIONS);
  compiler.update(diffTopologies(EMPTY_TOPOLOGY, one));
  compiler.take();
  compiler.update(diffTopologies(one, two));
  return compiler.take().transaction;
}

function steps(transaction: Transaction): readonly string[] {
  return transaction.flatMap((part) =>
    part.kind !== 'update'
      ? [part.kind]
      : part.changes.map((step) => {
          const name = 'chain' in step ? (typeof step.chain === 'string' ? step.chain : step.chain.name) : step.set;
          return `${part.family} ${step.kind} ${typeof name === 'string' ? name : name.name}`;
        }),
  );
}

describe('a change costs what it changes', () => {
  const elsewhere = { 'binding:host_id': 'host-2' };
  const rules = [{ id: 'r', direction: 'ingress', remote_group_id: 'web' }];
  const groups = [groupFields('web', rules), groupFields('db', [])];
  const ports = [portFields(1, ['web']), portFields(2, ['db'])];

  it('a member on another host: one element', () => {
    const after = { security_groups: groups, ports: [...ports, portFields(3, ['web'], elsewhere)] };
    expect(steps(change({ security_groups: groups, ports }, after))).toEqual(['inet add-elements sg_web_addresses4']);
  });

  it('a port of a known profile: its elements, no chain', () => {
    const after = { security_groups: groups, ports: [...ports, portFields(3, ['web'])] };
    expect(steps(change({ security_groups: groups, ports }, after)).filter((step) => step.includes('chain'))).toEqual(
      [],
    );
  });

  it('a rule: the chain of its group', () => {
    const more = [...rules, { id: 's', direction: 'ingress', protocol: 'tcp', port_range_min: 80, port_range_max: 80 }];
    const after = { security_groups: [groupFields('web', more), groupFields('db', [])], ports };
    expect(steps(change({ security_groups: groups, ports }, after))).toEqual(['inet rewrite-chain sg_web_in']);
  });

  it.each([
    ['a group that no port here has', { security_groups: [...groups, groupFields('other', rules)], ports }],
    [
      'a name',
      { security_groups: groups, ports: [portFields(1, ['web'], { name: 'renamed' }), portFields(2, ['db'])] },
    ],
    [
      'a port elsewhere in a group that no rule names',
      { security_groups: groups, ports: [...ports, portFields(3, ['db'], elsewhere)] },
    ],
    ['nothing', { security_groups: groups, ports }],
  ])('%s: nothing', (_what, after) => {
    expect(change({ security_groups: groups, ports }, after)).toEqual([]);
  });
});
