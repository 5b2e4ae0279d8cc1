/**
 * Compares what is loaded in the network namespace where it runs with what a topology compiles to: a line of standard input each, answered with
 * what the agent would change, as the tables are known again without nft and as nft has them.
 */
import { createInterface } from 'node:readline';
import { judgeBodies, readLoadedTables } from '../../../agent/kernel/nft.js';
import { recognise } from '../../../agent/kernel/recognise.js';
import { NotKnown } from '../../../agent/netlink/not-known.js';
import { seeTables } from '../../../agent/netlink/seen-tables.js';
import {
  compile,
  planTransaction,
  printTransaction,
  type CompileOptions,
  type TableState,
} from '../../../compiler/index.js';
import { parseTopology } from '../../../compiler/model/index.js';

export interface ToCompare {
  readonly document: unknown;
  readonly options: CompileOptions;
}

export interface Compared {
  /** nft text; undefined where only nft can say what is there: why. */
  readonly direct?: string;
  readonly why?: string;
  readonly byNft: string;
}

for await (const line of createInterface({ input: process.stdin })) {
  // The tests write this shape.
  const { document, options } = JSON.parse(line) as ToCompare;
  const { topology } = parseTopology([{ file: 'topology.yaml', content: document }]);
  const wanted = compile(topology, () => true, options).ruleset.tables;
  const changes = (loaded: readonly TableState[]): string => printTransaction(planTransaction(wanted, loaded));
  const listed = await readLoadedTables();
  const direct = await seeTables()
    .then((seen) => ({ direct: changes(recognise(seen, wanted)) }))
    .catch((error: unknown) => {
      if (error instanceof NotKnown) return { why: error.message };
      throw error;
    });
  const { tables } = await judgeBodies(listed, wanted);
  const answer: Compared = { byNft: changes(tables), ...direct };
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
