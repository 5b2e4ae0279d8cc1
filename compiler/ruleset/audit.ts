/**
 * Audit: the same rules, but what would be dropped passes, and is counted. For introducing enforcement on a host that runs:
 * the counters of the rules that would drop say what would be lost.
 */
import { ACCEPT, chain, counted, goTo } from './build.js';
import type { Action, Chain, NamedSet, Rule, Ruleset, Verdict } from './types.js';

/** Where maps lead that would drop: a map's element counts nothing. */
const PASSED: Chain = chain('audit_passed', 'what a map would drop', [counted([], ACCEPT, 'would be dropped')]);

export function audited(ruleset: Ruleset): Ruleset {
  return {
    ...ruleset,
    tables: ruleset.tables.map((table) => ({
      ...table,
      sets: new Map([...table.sets].map(([name, set]) => [name, auditedSet(set)])),
      chains: new Map([
        [PASSED.name, PASSED],
        ...[...table.chains].map(([name, one]) => [name, auditedChain(one)] as const),
      ]),
    })),
  };
}

/** As {@link audited}, for one chain. */
export function auditedChain(one: Chain): Chain {
  return { ...one, rules: one.rules.map(auditedRule) };
}

/** As {@link audited}, for the verdict of a map's element. */
export function auditedElement(verdict: Verdict): Verdict {
  return verdict.kind === 'drop' ? goTo(PASSED.name) : verdict;
}

function auditedSet(set: NamedSet): NamedSet {
  if (set.content.data !== 'verdict') return set;
  const elements = set.content.elements.map(({ key, data }) => ({ key, data: auditedElement(data) }));
  return { ...set, content: { data: 'verdict', elements } };
}

function auditedRule(rule: Rule): Rule {
  const action = auditedAction(rule.action);
  return action === rule.action ? rule : { ...rule, action, comment: `audit: ${rule.comment}` };
}

function auditedAction(action: Action): Action {
  switch (action.kind) {
    case 'verdict':
      return action.verdict.kind === 'drop' ? { kind: 'verdict', verdict: ACCEPT } : action;
    case 'inline-verdict-map':
      return {
        ...action,
        elements: action.elements.map(({ key, data }) => ({ key, data: auditedElement(data) })),
      };
    case 'tally':
    case 'verdict-map':
    case 'zone':
    case 'ct-mark':
    case 'packet-mark':
      return action;
  }
}
