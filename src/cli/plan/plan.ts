/**
 * A difference in the words of the topology: groups and what they permit, members, ports. What is loaded knows devices, addresses and the
 * first characters of a group's id; in nftables, in comments, also its name and ids of rules: what has gone from the topology is named by
 * these.
 */
import type { Difference, RulesOfTable } from '../../../agent/index.js';
import {
  isBridged,
  stateOf,
  type Compiled,
  type HostPolicy,
  type IptablesProgram,
  type Ruleset,
  type Table,
} from '../../../compiler/index.js';
import { asListed } from '../../../compiler/listing.js';
import type { Topology } from '../../../compiler/model/index.js';
import { groupLines } from './groups.js';
import { iptablesRest } from './iptables-rest.js';
import { iptablesSide, LongNames, rulesOfSide } from './iptables-side.js';
import type { PlanLine, Side } from './line.js';
import { memberLines } from './members.js';
import { Names, UNNAMED } from './names.js';
import { portLines } from './ports.js';
import { line, restLines } from './rest.js';
import { tableSide } from './table-side.js';

/** What judges the ports: what is loaded of it and, where that does not follow from the ruleset, what is wanted. */
export type Judging =
  /** `loaded` is undefined where nothing of ours is. */
  | { readonly backend: 'nftables'; readonly loaded: RulesOfTable | undefined }
  | { readonly backend: 'iptables'; readonly loaded: IptablesProgram; readonly wanted: IptablesProgram };

export interface Sides {
  readonly before: Side;
  readonly after: Side;
}

const NOTHING: Side = { groups: new Map(), members: new Map(), ports: new Map() };

/** What is loaded and what is wanted, as a plan speaks of it. */
export function sidesOf(judging: Judging, topology: Topology, { ruleset }: Compiled): Sides {
  const names = new Names(topology);
  const table = judgingTable(ruleset);
  const after = table === undefined ? NOTHING : wantedSide(table, names);
  switch (judging.backend) {
    case 'nftables': {
      const { loaded } = judging;
      const before =
        loaded === undefined ? NOTHING : tableSide(loaded.table, (chain) => loaded.rules.get(chain) ?? [], names);
      return { before, after };
    }
    case 'iptables': {
      const long = new LongNames(ruleset);
      return {
        before: iptablesSide(judging.loaded, long, names),
        after: iptablesSide(judging.wanted, long, names, rulesOfSide(after)),
      };
    }
  }
}

/** The table that holds the policy. */
export function judgingTable({ tables, datapath }: Ruleset): Table | undefined {
  const family = isBridged(datapath) ? 'bridge' : 'inet';
  return tables.find((table) => table.family === family);
}

function wantedSide(table: Table, names: Names): Side {
  return tableSide(stateOf(table), (chain) => (table.chains.get(chain)?.rules ?? []).map(asListed), names);
}

/** One line per change; empty when nothing changes. */
export function planLines(
  { transaction, iptables }: Difference,
  judging: Judging,
  { before, after }: Sides,
  { topology, compiled: { policy, ruleset } }: { readonly topology: Topology; readonly compiled: Compiled },
): readonly PlanLine[] {
  if (transaction.length === 0 && iptables.length === 0) return [];
  const spoken = topicLines(before, after, policy, topology);
  const tables = restLines(transaction, spoken);
  if (iptables.length === 0) return [...spoken, ...tables];
  switch (judging.backend) {
    case 'nftables':
      return [...spoken, ...tables, line('-', 'rules of ours in iptables')];
    case 'iptables': {
      const isNothingLoaded = Object.values(judging.loaded.families).every(({ mangle }) => mangle.length === 0);
      const rest = isNothingLoaded
        ? [line('+', 'rules of ours in iptables')]
        : iptablesRest(iptables, spoken, new LongNames(ruleset));
      return [...spoken, ...rest, ...tables];
    }
  }
}

/**
 * What iptables does not know of what goes; undefined where nothing goes. A comment would tell it, and be one more match for each packet and
 * rule (docs/decisions/iptables.md).
 */
export function unsaidOf(judging: Judging, lines: readonly PlanLine[]): string | undefined {
  if (judging.backend !== 'iptables') return undefined;
  const isOfGone = ({ sign, kind, text }: PlanLine): boolean =>
    (kind === 'group' && (sign === '-' || text.includes(': - '))) || text.includes(UNNAMED);
  return lines.some(isOfGone)
    ? 'iptables holds no ids of rules and no names of groups: what goes is said without them where the topology does not have it any more'
    : undefined;
}

function topicLines(before: Side, after: Side, policy: HostPolicy, topology: Topology): readonly PlanLine[] {
  const names = new Names(topology);
  return [
    ...groupLines(before, after, policy, names),
    ...memberLines(before, after, names),
    ...portLines(before, after, policy, topology),
  ];
}
