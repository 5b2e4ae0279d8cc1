import fc from 'fast-check';
import { expect, it } from 'vitest';
import { compileRuleset, DEFAULT_OPTIONS, hostPolicy, type Rule } from '../../../compiler/index.js';
import type { SecurityGroup, Topology } from '../../../compiler/model/index.js';
import { arbitraryTopology } from '../../support/arbitrary-topology.js';
import { seed } from '../../support/seed.js';

/** Rules of groups' chains that ask no set, by group; a set holds what many say. */
function inline(topology: Topology): ReadonlyMap<string, readonly Rule[]> {
  const { tables } = compileRuleset(
    hostPolicy(topology, () => true, DEFAULT_OPTIONS),
    DEFAULT_OPTIONS,
  );
  const found = new Map<string, Rule[]>();
  for (const { chains } of tables) {
    for (const { rules } of chains.values()) {
      for (const rule of rules) {
        if (rule.origin === undefined || rule.matches.some(({ kind }) => kind === 'set')) continue;
        found.set(rule.origin.group, [...(found.get(rule.origin.group) ?? []), rule]);
      }
    }
  }
  return found;
}

const textOf = ({ matches }: Rule): string =>
  JSON.stringify(matches, (_key, value: unknown) => (typeof value === 'bigint' ? String(value) : value));

it('the rules that a compiled one is said to come from make it by themselves, and none of them is of no use to it', () => {
  fc.assert(
    fc.property(arbitraryTopology(), (topology) => {
      const only = (group: SecurityGroup, ids: readonly string[]): readonly string[] => {
        const rules = group.rules.filter(({ id }) => ids.includes(id));
        const securityGroups = new Map(topology.securityGroups).set(group.id, { ...group, rules });
        return (inline({ ...topology, securityGroups }).get(group.id) ?? []).map(textOf);
      };
      for (const [id, rules] of inline(topology)) {
        const group = topology.securityGroups.get(id);
        if (group === undefined) throw new Error('a rule of no group');
        for (const rule of rules) {
          const ids = rule.origin?.rules ?? [];
          expect(ids).not.toEqual([]);
          expect(only(group, ids)).toContain(textOf(rule));
        }
      }
    }),
    { numRuns: 60, seed },
  );
});
