/** What agents read in etcd: a change changes there what it must, and a host that reads only what concerns it enforces the same. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { compile, DEFAULT_OPTIONS, printRuleset } from '../../../compiler/index.js';
import { EMPTY_TOPOLOGY, isOnHost, parseTopology, type Topology } from '../../../compiler/model/index.js';
import type { Kind, RecordChange, Records } from '../../../src/api/records.js';
import { State } from '../../../src/api/state.js';
import { recordsOf } from '../../../src/api/import.js';
import { viewChanges, type RecordPair, type ViewChanges } from '../../../src/api/topology/host-view.js';
import { topologyDocument } from '../../../src/api/topology/lines.js';
import { HostView } from '../../../src/sources/feed/host-view.js';
import type { Scope } from '../../../src/sources/feed/scopes.js';
import { TopologyFeed } from '../../../src/sources/feed/feed.js';
import { Followed } from '../../support/followed.js';
import { port } from '../../support/policy.js';
import { expectSame } from '../../support/same.js';
import { arbitraryDocument } from '../../support/arbitrary-topology.js';

type Stored = ReadonlyMap<string, RecordChange>;
const HOSTS = ['h0', 'h1', 'h 2/ü'];

interface Document {
  readonly address_groups: readonly { readonly id: string }[];
  readonly security_groups: readonly {
    readonly id: string;
    readonly security_group_rules: readonly {
      readonly remote_group_id?: string;
      readonly remote_address_group_id?: string;
    }[];
  }[];
  readonly ports: readonly { readonly security_groups: readonly string[] }[];
}

/** What a store holds: each rule has an id, nothing names what is not there. Without some groups, and maybe the address group. */
function consistent(content: object, without: ReadonlySet<number>): object {
  const document = content as Document;
  const groups = document.security_groups.filter((_, index) => !without.has(index));
  const addressGroups = without.has(4) ? [] : document.address_groups;
  const isThere = (id: string | undefined): boolean =>
    id === undefined || [...groups, ...addressGroups].some((group) => group.id === id);
  return {
    ...document,
    address_groups: addressGroups,
    security_groups: groups.map((group) => ({
      ...group,
      security_group_rules: group.security_group_rules.flatMap((rule, index) =>
        isThere(rule.remote_group_id) && isThere(rule.remote_address_group_id)
          ? [{ ...rule, id: `${group.id}-${index.toString()}` }]
          : [],
      ),
    })),
    ports: document.ports.map((port) => ({ ...port, security_groups: port.security_groups.filter(isThere) })),
  };
}

/** Ports get hosts, and some are on the way to another one. */
function stored(document: object): Stored {
  const { records } = recordsOf([{ file: 'test', content: document }], true);
  return new Map(
    records.map((change): [string, RecordChange] => {
      const key = `${change.kind}/${change.id}`;
      if (change.kind !== 'port' || change.record === undefined) return [key, change];
      const sum = Buffer.from(JSON.stringify(change.record)).reduce((total, byte) => total + byte, 0);
      const profile = sum % 5 === 0 ? { migrating_to: HOSTS[(sum + 1) % 3] } : {};
      const record = { ...change.record, 'binding:host_id': HOSTS[sum % 3] ?? '', 'binding:profile': profile };
      return [key, { ...change, record }];
    }),
  );
}

const WITHOUT = fc.oneof({ weight: 2, arbitrary: fc.constant([]) }, fc.array(fc.nat(4), { maxLength: 2 }));

function pairs(before: Stored, after: Stored): readonly RecordPair[] {
  const keys = new Set([...before.keys(), ...after.keys()]);
  return [...keys].map((key) => {
    // A key begins with its kind.
    const kind = key.split('/')[0] as Kind;
    const recordIn = (all: Stored): Records[Kind] | undefined => all.get(key)?.record;
    return { kind, before: recordIn(before), after: recordIn(after) } as RecordPair;
  });
}

function scopeOfKey(key: string): string {
  return key.split('/').slice(0, 2).join('/') + '/';
}

/** An agent that reads what etcd holds. */
class Reader {
  readonly #view: HostView;
  readonly #feed = new TopologyFeed('test');
  readonly #followed = new Followed();

  constructor(
    readonly host: string,
    private readonly keys: ReadonlyMap<string, string>,
  ) {
    this.#view = new HostView(host);
    this.#follow(0, true);
  }

  /** @returns how many keys it was told of. */
  take({ writes }: ViewChanges, revision: number): number {
    let told = 0;
    for (const [key, text] of writes) {
      const scope = scopeOfKey(key) as Scope;
      if (this.#view.has(scope)) told++;
      this.#view.change(scope, key.slice(scope.length), text);
    }
    this.#follow(revision, false);
    return told;
  }

  get topology(): Topology {
    return this.#followed.topology;
  }

  get known(): ReadonlySet<string> {
    return new Set(this.#view.known);
  }

  #follow(revision: number, isWhole: boolean): void {
    for (let needed = this.#view.needed(); ; needed = this.#view.needed()) {
      const missing = [...needed].filter((scope) => !this.#view.has(scope));
      if (missing.length === 0) break;
      for (const scope of missing) {
        const inside = [...this.keys].filter(([key]) => key.startsWith(scope));
        this.#view.load(scope, new Map(inside.map(([key, text]) => [key.slice(scope.length), text])));
      }
    }
    const needed = this.#view.needed();
    for (const scope of [...this.#view.known].filter((one) => !needed.has(one))) this.#view.drop(scope);
    this.#followed.take(this.#feed.take(this.#view.line(revision, isWhole, 'a-store'), EMPTY_TOPOLOGY));
  }
}

function rulesOf(topology: Topology, host: string): string {
  return printRuleset(compile(topology, (port) => isOnHost(port, host), DEFAULT_OPTIONS).ruleset);
}

it('any changes: what is written is what everything would be written as, and each host enforces what it would of everything', () => {
  const told = { keys: 0, written: 0 };
  const kinds = new Set<string>();
  fc.assert(
    fc.property(fc.array(fc.tuple(arbitraryDocument(), WITHOUT), { minLength: 2, maxLength: 5 }), (steps) => {
      const keys = new Map<string, string>();
      const readers = HOSTS.map((host) => new Reader(host, keys));
      let before: Stored = new Map();
      for (const [index, [document, without]] of steps.entries()) {
        const after = stored(consistent(document, new Set(without)));
        const changes = viewChanges(pairs(before, after));
        for (const { kind } of after.values()) kinds.add(kind);
        for (const [key, text] of changes.writes) {
          if (text === undefined) keys.delete(key);
          else keys.set(key, text);
          const scope = scopeOfKey(key) as Scope;
          if (!changes.touched.has(scope) && !changes.gone.has(scope)) expect(changes.touched).toContain(scope);
        }
        for (const scope of changes.gone) {
          expect([...keys.keys()].filter((key) => key.startsWith(scope))).toEqual([]);
          expect(changes.touched.has(scope)).toBe(false);
        }
        expectSame(new Map([...keys].sort()), new Map([...viewChanges(pairs(new Map(), after)).writes].sort()));
        const state = new State();
        for (const change of after.values()) state.apply(change);
        const { topology } = parseTopology([{ file: 'all', content: topologyDocument(state) }]);
        for (const reader of readers) {
          told.keys += reader.take(changes, index + 1);
          told.written += changes.writes.size;
          expect(rulesOf(reader.topology, reader.host)).toBe(rulesOf(topology, reader.host));
        }
        before = after;
      }
    }),
    { numRuns: 100 },
  );
  expect(kinds).toEqual(new Set(['network', 'security_group', 'security_group_rule', 'address_group', 'port']));
  // A host is told a part of it, and some are told something.
  expect(told.keys).toBeGreaterThan(0);
  expect(told.keys).toBeLessThan(told.written);
});

it('a port whose profile names what is no host’s name is told to its own host all the same', () => {
  const after = { ...port(1, 'h0', []), 'binding:profile': { migrating_to: '\ud800' } };
  const { writes } = viewChanges([{ kind: 'port', before: undefined, after }]);
  expect([...writes.keys()]).toEqual([`hosts/h0/port/${after.id}`]);
});
