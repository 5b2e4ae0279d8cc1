/** The host's tables as they are wanted: what no change touches, and those that calculators write to. */
import type { TableChange, Transaction } from '../nftables/transaction.js';
import type { CompileOptions } from '../options.js';
import { auditedChain, auditedElement } from '../ruleset/audit.js';
import { TABLE_NAME } from '../ruleset/closed.js';
import { tableFamilies } from '../ruleset/compile.js';
import type { Chain, Ruleset, Verdict } from '../ruleset/types.js';
import { WantedTable, type ObjectCount } from './wanted-table.js';

export class HostTables {
  /** The table that holds the policy. */
  readonly main: WantedTable;
  /** Beside it: arp where the host routes, inet where ports are on bridges. */
  readonly beside: WantedTable;
  /** What no change touches. */
  readonly #constant: readonly WantedTable[];
  readonly #audit: boolean;

  /** @param empty the ruleset of a host without a port: what of it changes never touch is counted as loaded. */
  constructor(empty: Ruleset, { datapath, audit }: CompileOptions) {
    const { policy, beside } = tableFamilies(datapath);
    this.#audit = audit;
    this.main = new WantedTable(policy);
    this.beside = new WantedTable(beside);
    const tables = [this.main, this.beside];
    for (const table of empty.tables) {
      const known = tables.find(({ family }) => family === table.family);
      const wanted = known ?? new WantedTable(table.family);
      if (known === undefined) tables.push(wanted);
      for (const set of table.sets.values()) wanted.addSet(set);
      for (const chain of table.chains.values()) wanted.setChain(chain);
    }
    this.#constant = tables.slice(2);
    this.take();
  }

  /** As enforced, or in audit mode as audited. */
  setChain(chain: Chain, table = this.main): void {
    table.setChain(this.#audit ? auditedChain(chain) : chain);
  }

  /** What a map's element leads to: as enforced, or in audit mode as audited. */
  verdict(verdict: Verdict): Verdict {
    return this.#audit ? auditedElement(verdict) : verdict;
  }

  /** The steps since the last time. From now on they count as taken. */
  take(): Transaction {
    return [this.main, this.beside].flatMap((table): TableChange[] => {
      const changes = table.take();
      if (changes.length === 0) return [];
      return [{ kind: 'update', family: table.family, name: TABLE_NAME, changes }];
    });
  }

  count(): ObjectCount {
    const counts = [this.main, this.beside, ...this.#constant].map((table) => table.count());
    const sum = (of: (count: ObjectCount) => number): number => counts.reduce((total, one) => total + of(one), 0);
    return {
      sets: sum(({ sets }) => sets),
      chains: sum(({ chains }) => chains),
      elements: sum(({ elements }) => elements),
    };
  }
}
