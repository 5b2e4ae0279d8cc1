/** Runs packets through simulated tables: what is there as text is found again as what it was compiled from. */
import { runEgress, runIngress, type Rule, type Ruleset, type Table } from '../../../compiler/index.js';
import type { CompileOptions, Key, NamedSet, Verdict } from '../../../compiler/index.js';
import { keyText } from '../../../compiler/nftables/text.js';
import type { Frame } from '../../../compiler/model/index.js';
import { declarationOf, ruleOf, textOf, type FakeSet, type FakeTables } from './tables.js';

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

export class Packets {
  readonly #sets = new Map<string, NamedSet>();
  readonly #keys = new Map<string, Key>();

  constructor(private readonly options: CompileOptions) {}

  /** Takes what texts may come from. */
  learn(tables: readonly Table[]): void {
    for (const { sets, chains } of tables) {
      for (const { rules } of chains.values()) for (const rule of rules) textOf(rule);
      for (const set of sets.values()) {
        const declaration = declarationOf(set);
        this.#sets.set(declaration, set);
        for (const element of set.content.elements) {
          const key = 'key' in element ? element.key : element;
          this.#keys.set(`${declaration} ${keyText(set.fields, key)}`, key);
        }
      }
    }
  }

  /** What is there as text, as a ruleset. */
  rulesetOf(tables: FakeTables): Ruleset {
    const { datapath } = this.options;
    return {
      datapath,
      tables: [...tables].flatMap(([family, table]): Table[] =>
        // It sees no packet.
        table.isDormant
          ? []
          : [
              {
                family: family as Table['family'],
                name: 'portcullis',
                sets: new Map([...table.sets].map(([name, set]) => [name, this.#setOf(name, set)])),
                chains: new Map(
                  [...table.chains].map(([name, { hook, rules }]) => {
                    const [, where = '', priority = ''] = /hook (\w+) priority (-?\d+)/.exec(hook) ?? [];
                    const role = { kind: 'fixed' } as const;
                    const base = { name, role, comment: '', rules: rules.map((text) => ruleOf(text) ?? FOREIGN) };
                    return [
                      name,
                      hook === ''
                        ? base
                        : { ...base, hook: { hook: where as 'prerouting', priority: Number(priority) } },
                    ];
                  }),
                ),
              },
            ],
      ),
    };
  }

  #setOf(name: string, { declaration, elements }: FakeSet): NamedSet {
    const known = this.#sets.get(declaration);
    if (known === undefined) throw new Error(`${name} is like no set of ours: ${declaration}`);
    const keys = [...elements].flatMap(([text, data]) => {
      const key = this.#keys.get(`${declaration} ${text}`);
      return key === undefined ? [] : [{ key, data }];
    });
    switch (known.content.data) {
      case 'none':
        return { ...known, name, content: { data: 'none', elements: keys.map(({ key }) => key) } };
      case 'verdict':
        return {
          ...known,
          name,
          content: { data: 'verdict', elements: keys.map(({ key, data }) => ({ key, data: verdictOf(data) })) },
        };
      case 'zone':
        return {
          ...known,
          name,
          content: { data: 'zone', elements: keys.map(({ key, data }) => ({ key, data: Number(data) })) },
        };
      case 'tally':
        return { ...known, name };
    }
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
