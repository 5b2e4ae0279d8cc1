/**
 * Tables of nf_tables, without a kernel: takes what is given to `nft -f`, and refuses what the kernel refuses. A text is one
 * transaction: all of it, or nothing.
 */
import { hookText, setDeclaration, setKind } from '../../../compiler/nftables/text.js';
import { fullRuleText, ruleText, stateOf, type Rule, type Table, type TableFamily } from '../../../compiler/index.js';

export interface FakeSet {
  /** Kind, type and flags. */
  readonly declaration: string;
  readonly elements: ReadonlyMap<string, string>;
}

export interface FakeChain {
  /** '' for one that is no base chain. */
  readonly hook: string;
  /** With their comments. */
  readonly rules: readonly string[];
}

export interface FakeTable {
  readonly isDormant: boolean;
  readonly sets: ReadonlyMap<string, FakeSet>;
  readonly chains: ReadonlyMap<string, FakeChain>;
}

export type FakeTables = ReadonlyMap<string, FakeTable>;

/** What is refused, and why. */
export class Refused extends Error {}

export type IsTaken = (set: string, key: string, data: string) => boolean;

const EMPTY_TABLE: FakeTable = { isDormant: false, sets: new Map(), chains: new Map() };

/**
 * What the tables are after a text. @throws Refused; nothing of it counts then.
 * @param isTaken false for an element that the kernel takes from nobody.
 */
export function applied(tables: FakeTables, text: string, isTaken: IsTaken = () => true): FakeTables {
  const batch = new Batch(tables, isTaken);
  const lines = text.split('\n');
  for (let at = 0; at < lines.length;) at = batch.take(lines, at);
  return batch.tables;
}

class Batch {
  readonly tables: Map<string, FakeTable>;
  /** What this transaction made anew, and may change in place. */
  readonly #fresh = new Set<object>();

  constructor(
    tables: FakeTables,
    private readonly isTaken: IsTaken,
  ) {
    this.tables = new Map(tables);
  }

  /** Takes a command. @returns where the next one begins. */
  take(lines: readonly string[], at: number): number {
    const line = lines[at] ?? '';
    if (line === '') return at + 1;
    const block = /^table (\w+) portcullis( \{)?$/.exec(line);
    if (block !== null) {
      const family = block[1] ?? '';
      if (!this.tables.has(family)) this.tables.set(family, EMPTY_TABLE);
      return block[2] === undefined ? at + 1 : this.#takeBlock(family, lines, at + 1);
    }
    const command = /^(add|delete|flush) (table|set|map|chain|rule|element) (\w+) portcullis ?(\S+)? ?(.*)$/.exec(line);
    if (command === null) throw new Error(`the simulator does not know this: ${line}`);
    const [, verb = '', what = '', family = '', name = '', rest = ''] = command;
    this.#command(`${verb} ${what}`, family, name, rest);
    return at + 1;
  }

  /** As nft(8) gives it to the kernel: chains first, then sets with what they hold, then rules. */
  #takeBlock(family: string, lines: readonly string[], start: number): number {
    const rules: (() => void)[] = [];
    const sets: (() => void)[] = [];
    let at = start;
    for (; lines[at] !== '}'; at++) {
      const line = lines[at] ?? fail('a table does not end');
      if (line === '\tflags dormant') this.tables.set(family, { ...this.#table(family), isDormant: true });
      const [, kind = '', name = ''] = /^\t(set|map|chain) (\S+) \{$/.exec(line) ?? [];
      if (kind === '') continue;
      const inside: string[] = [];
      for (at++; lines[at] !== '\t}'; at++) inside.push((lines[at] ?? fail(`${name} does not end`)).slice(2));
      if (kind !== 'chain') {
        sets.push(() => {
          this.#takeSet(family, kind, name, inside);
        });
        continue;
      }
      const [, ...rest] = inside;
      const hook = rest[0]?.startsWith('type filter hook ') === true ? rest[0] : '';
      this.#addChain(family, name, hook);
      rules.push(() => {
        for (const rule of rest.slice(hook === '' ? 0 : 1)) this.#addRule(family, name, rule);
      });
    }
    for (const take of [...sets, ...rules]) take();
    return at + 1;
  }

  #takeSet(family: string, kind: string, name: string, inside: readonly string[]): void {
    const elementsAt = inside.indexOf('elements = {');
    const declaration = elementsAt < 0 ? inside : inside.slice(0, elementsAt);
    this.#addSet(family, name, `${kind} ${declaration.join('; ')}`);
    if (elementsAt < 0) return;
    const elements = inside.slice(elementsAt + 1, -1).map((line) => line.trim().replace(/,$/, ''));
    this.#addElements(family, name, elements);
  }

  #command(command: string, family: string, name: string, rest: string): void {
    switch (command) {
      case 'delete table':
        if (!this.tables.delete(family)) fail(`no table ${family}`);
        return;
      case 'add set':
      case 'add map': {
        const declaration = rest.slice(2, -3);
        this.#addSet(family, name, `${command.slice(4)} ${declaration}`);
        return;
      }
      case 'add chain':
        this.#addChain(family, name, /type filter hook [^;]+; policy accept;/.exec(rest)?.[0] ?? '');
        return;
      case 'add rule':
        this.#addRule(family, name, rest);
        return;
      case 'flush chain':
        this.#chain(family, name, { ...this.#chainOf(family, name), rules: [] });
        return;
      case 'flush set':
      case 'flush map':
        this.#set(family, name, { ...this.#setOf(family, name), elements: new Map() });
        return;
      case 'add element':
        this.#addElements(family, name, rest.slice(2, -2).split(', '));
        return;
      case 'delete element': {
        const set = this.#setOf(family, name);
        const elements = new Map(set.elements);
        for (const key of rest.slice(2, -2).split(', ')) {
          if (!elements.delete(key)) fail(`${name} has no ${key}`);
        }
        this.#set(family, name, { ...set, elements });
        return;
      }
      case 'delete chain':
        this.#chainOf(family, name);
        this.#edit(family, 'chains', (chains) => chains.delete(name));
        if (this.#isReferredTo(family, name)) fail(`chain ${name} is in use`);
        return;
      case 'delete set':
      case 'delete map':
        this.#setOf(family, name);
        this.#edit(family, 'sets', (sets) => sets.delete(name));
        if (this.#isReferredTo(family, name)) fail(`set ${name} is in use`);
        return;
      default:
        throw new Error(`the simulator does not know this: ${command}`);
    }
  }

  #addSet(family: string, name: string, declaration: string): void {
    const before = this.#table(family).sets.get(name);
    if (before === undefined) this.#set(family, name, { declaration, elements: new Map() });
    else if (before.declaration !== declaration) fail(`set ${name} is another one`);
  }

  #addChain(family: string, name: string, hook: string): void {
    const before = this.#table(family).chains.get(name);
    if (before === undefined) this.#chain(family, name, { hook, rules: [] });
    else if (before.hook !== hook) fail(`chain ${name} is another one`);
  }

  #addRule(family: string, name: string, text: string): void {
    const chain = this.#chainOf(family, name);
    for (const target of targetsOf(text)) this.#mustBe(family, target);
    if (this.#fresh.has(chain.rules)) (chain.rules as string[]).push(text);
    else {
      const rules = [...chain.rules, text];
      this.#fresh.add(rules);
      this.#chain(family, name, { ...chain, rules });
    }
  }

  #addElements(family: string, name: string, texts: readonly string[]): void {
    const set = this.#setOf(family, name);
    const elements = new Map(set.elements);
    for (const text of texts) {
      const [key = '', data = ''] = text.split(' : ');
      const before = elements.get(key);
      if (before !== undefined && before !== data) fail(`${name} has ${key} with other data`);
      for (const target of targetsOf(data)) this.#mustBe(family, target);
      if (!this.isTaken(name, key, data)) fail(`${key} is too much`);
      elements.set(key, data);
    }
    this.#set(family, name, { ...set, elements });
  }

  #mustBe(family: string, target: string): void {
    const { sets, chains } = this.#table(family);
    if (!sets.has(target) && !chains.has(target)) fail(`${target} is missing`);
  }

  #isReferredTo(family: string, name: string): boolean {
    const { sets, chains } = this.#table(family);
    for (const { rules } of chains.values()) if (rules.some((rule) => targetsOf(rule).includes(name))) return true;
    for (const { elements } of sets.values()) {
      for (const data of elements.values()) if (targetsOf(data).includes(name)) return true;
    }
    return false;
  }

  #table(family: string): FakeTable {
    return this.tables.get(family) ?? fail(`no table ${family}`);
  }

  #chainOf(family: string, name: string): FakeChain {
    return this.#table(family).chains.get(name) ?? fail(`no chain ${name}`);
  }

  #setOf(family: string, name: string): FakeSet {
    return this.#table(family).sets.get(name) ?? fail(`no set ${name}`);
  }

  #chain(family: string, name: string, chain: FakeChain): void {
    this.#edit(family, 'chains', (chains) => chains.set(name, chain));
  }

  #set(family: string, name: string, set: FakeSet): void {
    this.#edit(family, 'sets', (sets) => sets.set(name, set));
  }

  #edit<Kind extends 'sets' | 'chains'>(
    family: string,
    kind: Kind,
    edit: (objects: Map<string, Kind extends 'sets' ? FakeSet : FakeChain>) => void,
  ): void {
    type Objects = Map<string, Kind extends 'sets' ? FakeSet : FakeChain>;
    const table = this.#table(family);
    const before = table[kind] as Objects;
    const objects: Objects = this.#fresh.has(before) ? before : new Map(before);
    this.#fresh.add(objects);
    edit(objects);
    if (objects !== before) this.tables.set(family, { ...table, [kind]: objects });
  }
}

function fail(why: string): never {
  throw new Refused(why);
}

const targets = new Map<string, readonly string[]>();

/** Chains and sets that a rule, or an element of a map, leads to or asks. */
function targetsOf(text: string): readonly string[] {
  if (text === '') return [];
  const known = targets.get(text);
  if (known !== undefined) return known;
  const bare = text.replace(/ comment ".*$/, '');
  const found = [...bare.matchAll(/(?:@|jump |goto )([a-zA-Z_]\w*)\b(?!,)/g)].map(([, name]) => name ?? '');
  targets.set(text, found);
  return found;
}

const texts = new Map<string, string>();
const rules = new Map<string, Rule>();

/** A rule with its comment, as it is printed; its digest is reckoned once for all scripts. */
export function textOf(rule: Rule): string {
  const key = `${ruleText(rule)}\n${rule.comment}`;
  const known = texts.get(key);
  if (known !== undefined) return known;
  const text = fullRuleText(rule);
  texts.set(key, text);
  rules.set(text, rule);
  return text;
}

/** The rule that was printed so; undefined for one of somebody else's. */
export function ruleOf(text: string): Rule | undefined {
  return rules.get(text);
}

/** The same, of tables that are compiled. */
export function fakeTables(tables: readonly Table[]): FakeTables {
  return new Map(
    tables.map((table): [TableFamily, FakeTable] => {
      const states = stateOf({ ...table, chains: new Map() }).sets;
      return [
        table.family,
        {
          isDormant: false,
          sets: new Map(
            [...table.sets.values()].map((set): [string, FakeSet] => [
              set.name,
              {
                declaration: declarationOf(set),
                elements: states.get(set.name)?.elements ?? new Map<string, string>(),
              },
            ]),
          ),
          chains: new Map(
            [...table.chains.values()].map(({ name, hook, rules }): [string, FakeChain] => [
              name,
              { hook: hook === undefined ? '' : hookText(hook), rules: rules.map(textOf) },
            ]),
          ),
        },
      ];
    }),
  );
}

export function declarationOf(set: Parameters<typeof setDeclaration>[0]): string {
  return `${setKind(set)} ${setDeclaration(set).join('; ')}`;
}

/** Rules and elements that the commands of a text name. */
export function countAsked(text: string): number {
  return text.split('\n').reduce((sum, line) => {
    if (line.startsWith('add rule ')) return sum + 1;
    return line.includes(' element ') ? sum + line.split(', ').length : sum;
  }, 0);
}

/** Rules of chains that differ, and elements that are in one alone or differ. */
export function countChanged(before: FakeTables, after: FakeTables): number {
  let count = 0;
  for (const [family, { sets, chains }] of after) {
    const was = before.get(family);
    for (const [name, { rules }] of chains) {
      const old = was?.chains.get(name)?.rules ?? [];
      if (old !== rules && old.join() !== rules.join()) count += rules.length;
    }
    for (const [name, { elements }] of sets) {
      const old = was?.sets.get(name)?.elements;
      if (old === elements) continue;
      for (const [key, data] of elements) if (old?.get(key) !== data) count++;
      for (const key of old?.keys() ?? []) if (!elements.has(key)) count++;
    }
  }
  return count;
}

/** Sets, chains and tables as lines: what a transaction left alone is the same object, and has its text already. */
const dumps = new WeakMap<object, string>();

function dumped(one: object, make: () => string): string {
  const known = dumps.get(one);
  if (known !== undefined) return known;
  const text = make();
  dumps.set(one, text);
  return text;
}

/** The tables as lines, in one order: equal texts are equal tables. */
export function dump(tables: FakeTables): string {
  return [...tables]
    .sort(byName)
    .map(([family, table]) => `table ${family}${dumped(table, () => dumpTable(table))}`)
    .join('\n');
}

/** The tables as text that makes them again, in the form of `nft list table`. */
export function textOfTables(tables: FakeTables): string {
  return [...tables].map(([family, table]) => `table ${family} portcullis {\n${textOfTable(table)}}\n`).join('');
}

function textOfTable({ isDormant, sets, chains }: FakeTable): string {
  const block = (head: string, lines: readonly string[]): string =>
    `\t${head} {\n${lines.map((line) => `\t\t${line}\n`).join('')}\t}\n`;
  return [
    isDormant ? '\tflags dormant\n' : '',
    ...[...sets].map(([name, { declaration, elements }]) => {
      const [kind = '', ...others] = declaration.split(/ (.*)/s);
      const list = [...elements].map(([key, data]) => `\t${key}${data === '' ? '' : ` : ${data}`},`);
      const content = list.length === 0 ? [] : ['elements = {', ...list, '}'];
      return block(`${kind} ${name}`, [...others.join('').split('; '), ...content]);
    }),
    ...[...chains].map(([name, { hook, rules }]) =>
      block(`chain ${name}`, ['comment ""', ...(hook === '' ? [] : [hook]), ...rules]),
    ),
  ].join('');
}

function dumpTable({ isDormant, sets, chains }: FakeTable): string {
  return [
    isDormant ? ' dormant' : '',
    ...[...sets].sort(byName).map(([name, set]) => ` ${name}: ${dumped(set, () => dumpSet(set))}`),
    ...[...chains].sort(byName).map(([name, chain]) => ` ${name}: ${dumped(chain, () => dumpChain(chain))}`),
  ].join('\n');
}

function dumpSet({ declaration, elements }: FakeSet): string {
  const lines = [...elements].sort(byName).map(([key, data]) => `  ${key}${data === '' ? '' : ` : ${data}`}`);
  return [declaration, ...lines].join('\n');
}

function dumpChain({ hook, rules }: FakeChain): string {
  return [hook, ...rules.map((rule) => `  ${rule}`)].join('\n');
}

function byName([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
