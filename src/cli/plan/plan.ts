/**
 * A difference in the words of the topology: groups and what they permit, members, ports. What is loaded knows devices, addresses, the
 * first characters of a group's id and, in comments, its name and ids of rules: what has gone from the topology is named by these.
 */
import { isBridged, stateOf, type Compiled, type TableState, type Transaction } from '../../../compiler/index.js';
import { conditionsOf, type ReadRule } from '../../../compiler/listing.js';
import type { Topology } from '../../model/index.js';
import { groupLines } from './groups.js';
import type { PlanLine, Side } from './line.js';
import { memberLines } from './members.js';
import { Names } from './names.js';
import { portLines } from './ports.js';
import { restLines } from './rest.js';

/** What is in the kernel, of the table that judges the ports. */
export interface Loaded {
  readonly table: TableState;
  /** By chain. */
  readonly rules: ReadonlyMap<string, readonly ReadRule[]>;
}

/** @param loaded undefined where nothing of ours is. */
export function planLines(
  transaction: Transaction,
  topology: Topology,
  compiled: Compiled,
  loaded: Loaded | undefined,
): readonly PlanLine[] {
  const { policy, ruleset } = compiled;
  const family = isBridged(ruleset.datapath) ? 'bridge' : 'inet';
  const wanted = ruleset.tables.find((table) => table.family === family);
  if (wanted === undefined || transaction.length === 0) return [];
  const after: Side = {
    state: stateOf(wanted),
    rules: (chain) =>
      (wanted.chains.get(chain)?.rules ?? []).map((rule) => ({
        comment: ` ${rule.comment}`,
        conditions: conditionsOf(rule),
      })),
  };
  const before: Side = {
    state: loaded?.table ?? { ...after.state, sets: new Map(), chains: new Map() },
    rules: (chain) => loaded?.rules.get(chain) ?? [],
  };
  const names = new Names(topology);
  const lines = [
    ...groupLines(before, after, policy, names),
    ...memberLines(before, after, names),
    ...portLines(before, after, policy, topology),
  ];
  return [...lines, ...restLines(transaction, lines)];
}
