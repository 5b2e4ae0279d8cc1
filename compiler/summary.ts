/** What a compilation came to, in numbers. */
import type { HostPolicy } from './host-policy.js';
import type { Chain, Ruleset, Table } from './ruleset/types.js';

export interface Summary {
  readonly ports: number;
  /** Ports that are filtered; the others are trusted, without port security, or down. */
  readonly filteredPorts: number;
  readonly groups: number;
  readonly groupRules: number;
  /** Rules in the chains of groups after merging. */
  readonly compiledGroupRules: number;
  /** Distinct combinations of groups. */
  readonly profiles: number;
  readonly chains: number;
  readonly rules: number;
  readonly sets: number;
  readonly elements: number;
}

export function summarise(policy: HostPolicy, ruleset: Ruleset): Summary {
  const total = (count: (table: Table) => number): number =>
    ruleset.tables.reduce((sum, table) => sum + count(table), 0);
  const chainsOf = ({ chains }: Table, kind: Chain['role']['kind']): readonly Chain[] =>
    [...chains.values()].filter(({ role }) => role.kind === kind);
  const rulesIn = (chains: Iterable<Chain>): number => [...chains].reduce((sum, { rules }) => sum + rules.length, 0);
  return {
    ports: policy.ports.length,
    filteredPorts: policy.ports.filter((port) => port.filtering === 'filtered').length,
    groups: policy.groups.size,
    groupRules: [...policy.groups.values()].reduce((sum, group) => sum + group.rules.length, 0),
    compiledGroupRules: total((table) => rulesIn(chainsOf(table, 'group'))),
    // Each has one for either direction.
    profiles: total((table) => chainsOf(table, 'profile').length / 2),
    chains: total((table) => table.chains.size),
    rules: total((table) => rulesIn(table.chains.values())),
    sets: total((table) => table.sets.size),
    elements: total((table) => [...table.sets.values()].reduce((sum, set) => sum + set.content.elements.length, 0)),
  };
}
