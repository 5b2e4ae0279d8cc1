/**
 * From one program to another, as steps that ipset and iptables take one after the other.
 *
 * Each table of rules changes at once; between sets, raw and mangle of two families there are instants. In each of them a packet
 * passes only if the old policy or the new one lets it: sets lose what goes, then the rules change, then sets get what comes. A
 * zone is there before the rules that need it, and goes after them.
 */
import { FAMILIES, type Family } from '../model/index.js';
import { ListedChain } from './listing.js';
import type { IptablesRule } from './rule.js';
import { sameRule } from './rule-text.js';
import { printRules, printSetChanges, SPARE, type TableChange } from './text.js';
import {
  capacityOf,
  type ChainChange,
  type FamilyTables,
  type IpSet,
  type IptablesChain,
  type IptablesChange,
  type IptablesProgram,
  type SetChange,
} from './types.js';
import { NO_ZONES, rawChains, zonesBetween } from './zones.js';

export interface IptablesPlan {
  readonly changes: readonly IptablesChange[];
  /** To be carried out in order; nothing when there is nothing to do. */
  readonly steps: readonly IptablesStep[];
}

export type IptablesStep =
  /** For `ipset restore`. `undo` brings back what it takes away, should the next step fail. */
  | { readonly kind: 'sets'; readonly text: string; readonly undo: string }
  /** For `iptables-restore --noflush` or its twin. */
  | { readonly kind: 'rules'; readonly family: Family; readonly text: string }
  /** The kernel may hold a set for an instant after the last rule that asked it went. */
  | { readonly kind: 'destroy-sets'; readonly names: readonly string[] };

const NO_TABLES: FamilyTables = { zones: NO_ZONES, raw: [], mangle: [] };

export const EMPTY_PROGRAM: IptablesProgram = {
  sets: [],
  families: { IPv4: NO_TABLES, IPv6: NO_TABLES },
};

/** @param moreSets changes of sets that neither program holds. */
export function planIptables(
  before: IptablesProgram,
  after: IptablesProgram,
  moreSets: readonly SetChange[] = [],
): IptablesPlan {
  const sets = [...diffSets(before.sets, after.sets), ...moreSets];
  const families = FAMILIES.map((family) => planFamily(family, before.families[family], after.families[family]));
  const chains = families.flatMap(({ changes }) => changes);
  return { changes: [...sets, ...chains], steps: stepsOf(sets, families) };
}

function stepsOf(sets: readonly SetChange[], families: readonly FamilyPlan[]): readonly IptablesStep[] {
  const rules = families.flatMap(({ early }) => early);
  const late = families.flatMap((family) => family.late);
  const gone = sets.flatMap((change) => (change.kind === 'destroy-set' && change.name !== SPARE ? [change.name] : []));
  const [narrow, widen] = [printSetChanges(sets, 'narrow'), printSetChanges(sets, 'widen')];
  const setStep = (text: string, undo = ''): readonly IptablesStep[] =>
    text === '' ? [] : [{ kind: 'sets', text, undo }];
  return [
    ...(rules.length === 0
      ? setStep(narrow + widen)
      : [...setStep(narrow, printSetChanges(sets, 'undo')), ...rules, ...setStep(widen)]),
    ...late,
    ...(gone.length === 0 ? [] : [{ kind: 'destroy-sets', names: gone } as const]),
  ];
}

function diffSets(before: readonly IpSet[], after: readonly IpSet[]): readonly SetChange[] {
  const old = new Map(before.map((set) => [set.name, set]));
  // Where former rules come back, so does nothing that somebody else made under a name of ours.
  const makeable = after.filter(({ type }) => type !== 'other');
  const wanted = new Set([SPARE, ...makeable.map(({ name }) => name)]);
  return [
    // Whatever is replaced needs the name, and no rule asks it.
    ...(old.has(SPARE) ? [{ kind: 'destroy-set', name: SPARE } as const] : []),
    ...makeable.flatMap((set): readonly SetChange[] => {
      const known = old.get(set.name);
      return known === undefined ? [{ kind: 'create-set', set }] : diffSet(known, set);
    }),
    ...before.filter(({ name }) => !wanted.has(name)).map(({ name }): SetChange => ({ kind: 'destroy-set', name })),
  ];
}

function diffSet(before: IpSet, after: IpSet): readonly SetChange[] {
  if (before === after) return [];
  // Ports are of no family: a listing does not have the one of the rules that ask for them.
  const isOfFamily = after.type === 'bitmap:port' || before.family === after.family;
  if (before.type !== after.type || !isOfFamily) return [{ kind: 'remake-set', set: after }];
  if (capacityOf(before) < capacityOf(after)) return [{ kind: 'replace-set', set: after, before: before.entries }];
  if (areSame(before.entries, after.entries)) return [];
  const [old, wanted] = [new Set(before.entries), new Set(after.entries)];
  const added = after.entries.filter((entry) => !old.has(entry));
  const removed = before.entries.filter((entry) => !wanted.has(entry));
  return added.length + removed.length === 0 ? [] : [{ kind: 'change-set', name: after.name, added, removed }];
}

function areSame(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((entry, index) => entry === b[index]);
}

interface FamilyPlan {
  readonly changes: readonly ChainChange[];
  readonly early: readonly IptablesStep[];
  readonly late: readonly IptablesStep[];
}

function planFamily(family: Family, before: FamilyTables, after: FamilyTables): FamilyPlan {
  const zones = zonesBetween(before.zones, after.zones);
  const raw = diffChains(family, 'raw', before.raw, after.raw);
  const mangle = diffChains(family, 'mangle', before.mangle, after.mangle);
  const steps = (...tables: readonly TableChange[]): readonly IptablesStep[] => {
    const changed = tables.filter(({ chains }) => chains.length > 0);
    return changed.length === 0 ? [] : [{ kind: 'rules', family, text: changed.map(printRules).join('') }];
  };
  const changes = [...raw, ...mangle];
  const mangleTable: TableChange = { table: 'mangle', chains: mangle };
  if (zones === undefined) return { changes, early: steps({ table: 'raw', chains: raw }, mangleTable), late: [] };
  const between = rawChains(zones, true);
  return {
    changes,
    early: steps({ table: 'raw', chains: diffChains(family, 'raw', before.raw, between) }, mangleTable),
    late: steps({ table: 'raw', chains: diffChains(family, 'raw', between, after.raw) }),
  };
}

function diffChains(
  family: Family,
  table: ChainChange['table'],
  before: readonly IptablesChain[],
  after: readonly IptablesChain[],
): readonly ChainChange[] {
  if (before === after) return [];
  // Most of a host's chains are the same objects as before.
  const [gone, come] = [others(before, after), others(after, before)];
  const old = new Map(gone.map((chain) => [chain.name, chain]));
  const wanted = new Set(come.map(({ name }) => name));
  const change = (name: string, was: IptablesChain | undefined, is: ChainChange['after']): ChainChange => ({
    kind: 'chain',
    family,
    table,
    name,
    before: was?.rules,
    after: is,
    ...(was?.overtaking === undefined ? {} : { overtaking: was.overtaking }),
  });
  return [
    ...come.flatMap((chain) => {
      const known = old.get(chain.name);
      const isSame = known !== undefined && holds(known, chain) && known.overtaking === undefined;
      return isSame ? [] : [change(chain.name, known, chain.rules)];
    }),
    ...gone.filter(({ name }) => !wanted.has(name)).map((chain) => change(chain.name, chain, undefined)),
  ];
}

/** Those that are not among others, as the same object. */
function others(chains: readonly IptablesChain[], among: readonly IptablesChain[]): readonly IptablesChain[] {
  const known = new Set(among);
  return chains.filter((chain) => !known.has(chain));
}

/** True where a chain has the rules of another one. Most are the same object: what is compiled of a port is remembered. */
function holds(chain: IptablesChain, wanted: IptablesChain): boolean {
  if (chain === wanted) return true;
  return chain instanceof ListedChain ? chain.holds(wanted.rules) : sameRules(chain.rules, wanted.rules);
}

function sameRules(a: readonly IptablesRule[], b: readonly IptablesRule[]): boolean {
  return a === b || (a.length === b.length && a.every((rule, index) => isSame(rule, b[index])));
}

function isSame(a: IptablesRule, b: IptablesRule | undefined): boolean {
  return b !== undefined && sameRule(a, b);
}
