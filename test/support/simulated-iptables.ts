/** Carries out the texts for `ipset restore` and `iptables-restore --noflush`, as strictly as the programs and the kernel do. */
import { printIptablesRule, type FamilyTables, type IptablesProgram, type IptablesStep } from '../../compiler/index.js';
import { FAMILIES, type Family } from '../../compiler/model/index.js';

type Chains = Map<string, readonly string[]>;
type TableName = Exclude<keyof FamilyTables, 'zones'>;

const TABLES: readonly TableName[] = ['raw', 'mangle'];
const OF_THE_KERNEL = ['PREROUTING', 'OUTPUT', 'POSTROUTING'];
const VERDICTS = ['ACCEPT', 'DROP', 'RETURN', 'CT', 'CONNMARK', 'MARK'];

export interface IptablesState {
  /** Declaration and entries of each set, by name. */
  readonly sets: Readonly<Record<string, readonly string[]>>;
  /** Rules by family, table and chain; chains of the kernel that hold nothing are left out. */
  readonly chains: Readonly<Record<string, readonly string[]>>;
}

export class SimulatedIptables {
  readonly #sets = new Map<string, { declaration: string; entries: Set<string> }>();
  readonly #tables = new Map<string, Chains>(
    FAMILIES.flatMap((family) => TABLES.map((table) => [`${family} ${table}`, new Map<string, readonly string[]>()])),
  );

  /** @throws Error where a program or the kernel would refuse. */
  carryOut(steps: readonly IptablesStep[]): void {
    for (const step of steps) {
      switch (step.kind) {
        case 'sets':
          for (const line of lines(step.text)) this.#setLine(line);
          break;
        case 'rules':
          this.#rules(step.family, lines(step.text));
          break;
        case 'destroy-sets':
          for (const name of step.names) this.#destroy(name);
      }
    }
  }

  state(): IptablesState {
    const chains = [...this.#tables].flatMap(([table, some]) =>
      [...some].map(([name, rules]): readonly [string, readonly string[]] => [`${table} ${name}`, rules]),
    );
    const sets = [...this.#sets].map(([name, { declaration, entries }]): readonly [string, readonly string[]] => [
      name,
      [declaration, ...[...entries].sort()],
    ]);
    return { sets: sorted(sets), chains: sorted(chains.filter(([name, rules]) => !isUnused(name, rules))) };
  }

  #setLine(line: string): void {
    const [command, name = '', ...rest] = line.split(' ').filter((word) => word !== '-exist');
    const mayExist = line.endsWith(' -exist');
    const known = this.#sets.get(name);
    switch (command) {
      case 'create':
        if (known !== undefined && !mayExist) throw new Error(`${line}: exists`);
        this.#sets.set(name, known ?? { declaration: rest.join(' '), entries: new Set() });
        return;
      case 'flush':
        this.#existing(name).entries.clear();
        return;
      case 'add':
      case 'del': {
        const { declaration, entries } = this.#existing(name);
        const [entry = ''] = rest;
        if (entries.has(entry) === (command === 'add') && !mayExist) throw new Error(`${line}: done already`);
        if (declaration.startsWith('hash:net') && entry.endsWith('/0')) throw new Error(`${line}: no such prefix`);
        if (declaration.startsWith('hash:ip') && /^(0\.0\.0\.0|::)$/.test(entry))
          throw new Error(`${line}: null-valued`);
        if (command === 'add') entries.add(entry);
        else entries.delete(entry);
        return;
      }
      case 'swap': {
        const [other = ''] = rest;
        const [one, two] = [this.#existing(name), this.#existing(other)];
        this.#sets.set(name, two).set(other, one);
        return;
      }
      case 'destroy':
        this.#destroy(name);
        return;
      default:
        throw new Error(`${line}: no such command`);
    }
  }

  #existing(name: string): { declaration: string; entries: Set<string> } {
    const set = this.#sets.get(name);
    if (set === undefined) throw new Error(`${name}: no such set`);
    return set;
  }

  #destroy(name: string): void {
    this.#existing(name);
    const users = [...this.#tables.values()].flatMap((chains) => [...chains.values()].flat());
    if (users.some((rule) => setsOf(rule).includes(name))) throw new Error(`${name}: in use`);
    this.#sets.delete(name);
  }

  /** Each table at once, or nothing of it. */
  #rules(family: Family, text: readonly string[]): void {
    let table = '';
    let chains: Chains = new Map();
    for (const line of text) {
      const [command = '', name = ''] = line.split(' ', 2);
      const rule = line.slice(command.length + name.length + 2);
      if (line.startsWith('*')) {
        table = `${family} ${line.slice(1)}`;
        chains = new Map(this.#tables.get(table));
        for (const chain of OF_THE_KERNEL) chains.set(chain, chains.get(chain) ?? []);
      } else if (line === 'COMMIT') {
        this.#check(table, chains);
        this.#tables.set(table, chains);
      } else if (line.startsWith(':')) {
        chains.set(command.slice(1), []);
      } else if (command === '-A') {
        chains.set(name, [...rulesOf(chains, name), rule]);
      } else if (command === '-I') {
        const [, at = '', inserted = ''] = /^(\d+) (.*)$/.exec(rule) ?? [];
        chains.set(name, rulesOf(chains, name).toSpliced(Number(at) - 1, 0, inserted));
      } else if (command === '-D') {
        const rules = rulesOf(chains, name);
        const index = rules.indexOf(rule);
        if (index < 0) throw new Error(`${line}: no such rule`);
        chains.set(name, rules.toSpliced(index, 1));
      } else if (command === '-X') {
        if (rulesOf(chains, name).length > 0) throw new Error(`${line}: not empty`);
        chains.delete(name);
      } else {
        throw new Error(`${line}: no such line`);
      }
    }
  }

  #check(table: string, chains: Chains): void {
    for (const rule of [...chains.values()].flat()) {
      const target = /(?:^| )-[jg] (\S+)/.exec(rule)?.[1] ?? '';
      if (!VERDICTS.includes(target) && !chains.has(target)) throw new Error(`${table}: ${rule}: no such chain`);
      for (const set of setsOf(rule)) this.#existing(set);
    }
  }
}

/** The same form, of a program compiled from scratch. */
export function iptablesStateOf({ sets, families }: IptablesProgram): IptablesState {
  return {
    sets: sorted(sets.map(({ name, entries, ...set }) => [name, [declarationOf(set), ...[...entries].sort()]])),
    chains: sorted(
      FAMILIES.flatMap((family) =>
        TABLES.flatMap((table) =>
          families[family][table].map(({ name, rules }): readonly [string, readonly string[]] => [
            `${family} ${table} ${name}`,
            rules.map(printIptablesRule),
          ]),
        ),
      ),
    ),
  };
}

function declarationOf({ type, family }: Pick<IptablesProgram['sets'][number], 'type' | 'family'>): string {
  if (type === 'bitmap:port') return 'bitmap:port range 0-65535';
  return `${type} family ${family === 'IPv4' ? 'inet' : 'inet6'} maxelem 1048576`;
}

function rulesOf(chains: Chains, name: string): readonly string[] {
  const rules = chains.get(name);
  if (rules === undefined) throw new Error(`${name}: no such chain`);
  return rules;
}

function setsOf(rule: string): readonly string[] {
  return [...rule.matchAll(/--match-set (\S+)/g)].map(([, name = '']) => name);
}

function isUnused(name: string, rules: readonly string[]): boolean {
  return rules.length === 0 && OF_THE_KERNEL.some((chain) => name.endsWith(` ${chain}`));
}

function lines(text: string): readonly string[] {
  return text.split('\n').filter((line) => line !== '');
}

function sorted(
  entries: readonly (readonly [string, readonly string[]])[],
): Readonly<Record<string, readonly string[]>> {
  return Object.fromEntries([...entries].sort(([a], [b]) => (a < b ? -1 : 1)));
}
