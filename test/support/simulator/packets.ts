/** Runs packets through simulated tables: what is there as text is found again as what it was compiled from. */
import { runEgress, runIngress, type Rule, type Ruleset, type Table } from '../../../compiler/index.js';
import type { Chain, CompileOptions, Key, NamedSet, Verdict } from '../../../compiler/index.js';
import { keyText } from '../../../compiler/nftables/text.js';
import type { Frame } from '../../../compiler/model/index.js';
import {
  declarationOf,
  ruleOf,
  textOf,
  type FakeChain,
  type FakeSet,
  type FakeTable,
  type FakeTables,
} from './tables.js';

export interface Probe {
  readonly device: string;
  readonly direction: 'egress' | 'ingress';
  readonly frame: Frame;
}

/** Whatever it is: it may let through. */
const FOREIGN: Rule = {
  matches: [],
  action: { kind: 'verdict', verdict: { kind: 'accept' } },
  counter: false,
  comment: '',
};

/** What texts come from: of all that was ever learned, since a text says the same in every script. */
const sets = new Map<string, { readonly like: NamedSet; readonly keys: Map<string, Key> }>();
const learned = new WeakSet<Table>();

export class Packets {
  /** What was read back and known as a whole: what a transaction left alone is the same object. */
  readonly #tables = new WeakMap<FakeTable, Table>();
  readonly #chains = new WeakMap<FakeChain, Chain>();
  readonly #sets = new WeakMap<FakeSet, NamedSet>();

  constructor(private readonly options: CompileOptions) {}

  /** Takes what texts may come from. */
  learn(tables: readonly Table[]): void {
    for (const table of tables) {
      if (learned.has(table)) continue;
      learned.add(table);
      for (const { rules } of table.chains.values()) for (const rule of rules) textOf(rule);
      for (const set of table.sets.values()) {
        const declaration = declarationOf(set);
        const { keys } = sets.get(declaration) ?? { keys: new Map<string, Key>() };
        sets.set(declaration, { like: set, keys });
        for (const element of set.content.elements) {
          const key = 'key' in element ? element.key : element;
          keys.set(keyText(set.fields, key), key);
        }
      }
    }
  }

  /** What is there as text, as a ruleset. */
  rulesetOf(tables: FakeTables): Ruleset {
    return {
      datapath: this.options.datapath,
      // One that is dormant sees no packet.
      tables: [...tables].flatMap(([family, table]) => (table.isDormant ? [] : [this.#tableOf(family, table)])),
    };
  }

  #tableOf(family: string, table: FakeTable): Table {
    const known = this.#tables.get(table);
    if (known !== undefined) return known;
    const read: Table = {
      family: family as Table['family'],
      name: 'portcullis',
      sets: new Map([...table.sets].map(([name, set]) => [name, this.#setOf(name, set)])),
      chains: new Map([...table.chains].map(([name, chain]) => [name, this.#chainOf(name, chain)])),
    };
    const isWhole =
      [...table.sets.values()].every((set) => this.#sets.has(set)) &&
      [...table.chains.values()].every((chain) => this.#chains.has(chain));
    if (isWhole) this.#tables.set(table, read);
    return read;
  }

  #chainOf(name: string, chain: FakeChain): Chain {
    const known = this.#chains.get(chain);
    if (known !== undefined) return known;
    const read = readChain(name, chain);
    if (!read.rules.includes(FOREIGN)) this.#chains.set(chain, read);
    return read;
  }

  #setOf(name: string, set: FakeSet): NamedSet {
    const known = this.#sets.get(set);
    if (known !== undefined) return known;
    const read = readSet(name, set);
    if (read.content.elements.length === set.elements.size) this.#sets.set(set, read);
    return read;
  }
}

function readChain(name: string, { hook, rules }: FakeChain): Chain {
  const [, where = '', priority = ''] = /hook (\w+) priority (-?\d+)/.exec(hook) ?? [];
  const role = { kind: 'fixed' } as const;
  const base = { name, role, comment: '', rules: rules.map((text) => ruleOf(text) ?? FOREIGN) };
  return hook === '' ? base : { ...base, hook: { hook: where as 'prerouting', priority: Number(priority) } };
}

function readSet(name: string, { declaration, elements }: FakeSet): NamedSet {
  const known = sets.get(declaration);
  if (known === undefined) throw new Error(`${name} is like no set of ours: ${declaration}`);
  const { like } = known;
  const keys = [...elements].flatMap(([text, data]) => {
    const key = known.keys.get(text);
    return key === undefined ? [] : [{ key, data }];
  });
  switch (like.content.data) {
    case 'none':
      return { ...like, name, content: { data: 'none', elements: keys.map(({ key }) => key) } };
    case 'verdict':
      return {
        ...like,
        name,
        content: { data: 'verdict', elements: keys.map(({ key, data }) => ({ key, data: verdictOf(data) })) },
      };
    case 'zone':
      return {
        ...like,
        name,
        content: { data: 'zone', elements: keys.map(({ key, data }) => ({ key, data: Number(data) })) },
      };
    case 'tally':
      return { ...like, name };
  }
}

/** True where nothing stops it. */
export function passes(ruleset: Ruleset, { device, direction, frame }: Probe): boolean {
  const run = direction === 'egress' ? runEgress : runIngress;
  return run(ruleset, device, frame, 'new').verdict !== 'drop';
}

function verdictOf(text: string): Verdict {
  const [kind, chain = ''] = text.split(' ');
  if (kind === 'jump' || kind === 'goto') return { kind, chain };
  return { kind: kind === 'accept' ? 'accept' : 'drop' };
}
