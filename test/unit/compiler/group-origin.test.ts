import fc from 'fast-check';
import { expect, it } from 'vitest';
import { compileRuleset, DEFAULT_OPTIONS, hostPolicy, type Rule } from '../../../compiler/index.js';
import { parseTopology, type SecurityGroup, type Topology } from '../../../compiler/model/index.js';
import { arbitraryTopology } from '../../support/arbitrary-topology.js';
import { NAMED_TOPOLOGIES } from '../../support/named-topologies.js';
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

/** Compiled alone they give that rule and nothing else: none is missing, and none is about something else. */
function expectExact(topology: Topology): void {
  const only = (group: SecurityGroup, ids: readonly string[]): readonly string[] => {
    const rules = group.rules.filter(({ id }) => ids.includes(id));
    const securityGroups = new Map(topology.securityGroups).set(group.id, { ...group, rules });
    return (inline({ ...topology, securityGroups }).get(group.id) ?? []).map(textOf);
  };
  for (const [id, rules] of inline(topology)) {
    const group = topology.securityGroups.get(id);
    if (group === undefined) throw new Error('a rule of no group');
    for (const rule of rules) expect(only(group, rule.origin?.rules ?? [])).toEqual([textOf(rule)]);
  }
}

const WHAT = 'the rules that a compiled one is said to come from make it by themselves, and nothing else';

it.each(Object.entries(NAMED_TOPOLOGIES))(`${WHAT}: %s`, (_name, { document }) => {
  expectExact(parseTopology([{ file: 'named', content: document }]).topology);
});

it(`${WHAT}: random topologies`, () => {
  fc.assert(fc.property(arbitraryTopology(), expectExact), { numRuns: 60, seed });
});
