/**
 * Since when the loaded rules count. The kernel does not say it: a chain that is written, or a table, counts from zero. What was loaded
 * before this process began counts since an unknown time before it.
 */
import type { TableFamily, Transaction } from '../compiler/index.js';

/** ISO 8601. */
export interface CountingSinceJson {
  /** What neither of the others names was loaded before this. */
  readonly begun: string;
  /** By family. */
  readonly tables: Readonly<Record<string, string>>;
  /** Chains that were written after their table was, by `family chain`. */
  readonly chains: Readonly<Record<string, string>>;
}

export class CountingSince {
  readonly #begun = new Date();
  readonly #tables = new Map<TableFamily, Date>();
  readonly #chains = new Map<TableFamily, Map<string, Date>>();

  /** Takes what was brought into the kernel just now. */
  wrote(transaction: Transaction): void {
    const now = new Date();
    for (const change of transaction) {
      switch (change.kind) {
        case 'create':
        case 'replace':
          this.#tables.set(change.table.family, now);
          this.#chains.delete(change.table.family);
          break;
        case 'delete':
          this.#tables.delete(change.before.family);
          this.#chains.delete(change.before.family);
          break;
        case 'update': {
          const chains = this.#chains.get(change.family) ?? new Map<string, Date>();
          this.#chains.set(change.family, chains);
          for (const step of change.changes) {
            if (step.kind === 'add-chain' || step.kind === 'rewrite-chain') chains.set(step.chain.name, now);
            else if (step.kind === 'delete-chain') chains.delete(step.chain);
          }
        }
      }
    }
  }

  json(): CountingSinceJson {
    const chains = [...this.#chains].flatMap(([family, dates]) =>
      [...dates].map(([chain, date]): [string, string] => [`${family} ${chain}`, date.toISOString()]),
    );
    return {
      begun: this.#begun.toISOString(),
      tables: Object.fromEntries([...this.#tables].map(([family, date]) => [family, date.toISOString()])),
      chains: Object.fromEntries(chains),
    };
  }
}
