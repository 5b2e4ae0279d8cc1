/**
 * Our tables as they were read without nft(8), known again by what is wanted: rules by what they do, sets by what they are, elements by what
 * they match. Nothing is guessed: where something is there that nobody asked for, or a rule does something else than its comment says, only nft
 * can say what it is.
 */
import {
  stateOf,
  type Chain,
  type ChainState,
  type NamedSet,
  type SetState,
  type Table,
  type TableFamily,
  type TableState,
} from '../../compiler/index.js';
import {
  bodyOf,
  elementTexts,
  headText,
  hookOf,
  NAMELESS,
  namelessText,
  wantedBody,
  wantedHead,
} from '../netlink/canonical.js';
import { HOOKNUM, VERDICT } from '../netlink/nf-tables-header.js';
import { flagsIn } from '../netlink/nf-tables-sets.js';
import { NotKnown } from '../netlink/not-known.js';
import { WantedElements } from '../netlink/wanted-elements.js';
import type { SeenRule, SeenSet, SeenTable } from '../netlink/seen-tables.js';

/**
 * What is loaded, of what is wanted: all of it, or without what is missing; a chain whose rules are others has their comments.
 * @throws NotKnown, NotEncodable where only nft can say what is there.
 */
export function recognise(seen: readonly SeenTable[], wanted: readonly Table[]): readonly TableState[] {
  const elements = new WantedElements();
  return seen.map((table) => {
    const asked = wanted.find(({ family, name }) => family === table.family && name === table.name);
    if (asked === undefined) throw new NotKnown('a table that nobody asked for');
    return recogniseTable(table, asked, elements);
  });
}

function recogniseTable(seen: SeenTable, wanted: Table, elements: WantedElements): TableState {
  const whole = stateOf(wanted);
  const nameless = namelessSets(seen);
  const sets = new Map<string, SetState>();
  for (const [name, set] of seen.sets) {
    if (name.startsWith(NAMELESS)) continue;
    const [asked, state] = [wanted.sets.get(name), whole.sets.get(name)];
    if (asked === undefined || state === undefined) throw new NotKnown(`set ${name}`);
    sets.set(name, recogniseSet(set, asked, state, elements));
  }
  const chains = new Map<string, ChainState>();
  for (const [name, bytes] of seen.chains) {
    const [asked, state] = [wanted.chains.get(name), whole.chains.get(name)];
    if (asked === undefined || state === undefined) throw new NotKnown(`chain ${name}`);
    if (!isHook(seen.family, asked, bytes)) throw new NotKnown(`where chain ${name} stands`);
    chains.set(name, recogniseChain(seen.family, seen.rules.get(name) ?? [], asked, state, nameless));
  }
  return { ...whole, sets, chains };
}

/** What a set of a rule is. */
function namelessSets(table: SeenTable): (name: string) => string {
  return (name) => {
    const set = table.sets.get(name);
    if (set === undefined) throw new NotKnown(`set ${name}`);
    return namelessText(set.head, set.elements);
  };
}

function recogniseSet(seen: SeenSet, wanted: NamedSet, whole: SetState, wantedElements: WantedElements): SetState {
  const { name, content } = wanted;
  if (headText(seen.head) !== wantedHead(wanted)) throw new NotKnown(`set ${name}`);
  if (content.data === 'tally') return whole;
  const keys = [...whole.elements];
  const there = new Set(elementTexts(flagsIn(seen.head), seen.elements));
  const should = wantedElements.of(wanted);
  if (keys.length !== should.length) throw new NotKnown(`set ${name}, of which an element is wanted twice`);
  const elements = keys.filter((_, index) => there.delete(should[index] ?? ''));
  if (there.size > 0) throw new NotKnown(`elements of set ${name}`);
  return elements.length === keys.length ? whole : { ...whole, elements: new Map(elements) };
}

function isHook(family: TableFamily, { hook }: Chain, chain: Buffer): boolean {
  const seen = hookOf(chain);
  if (hook === undefined || seen === undefined) return hook === undefined && seen === undefined;
  return (
    seen.type === 'filter' &&
    seen.number === HOOKNUM[family][hook.hook] &&
    seen.priority === hook.priority &&
    seen.policy === VERDICT.NF_ACCEPT
  );
}

/** A rule of which the comment is the wanted one must do what it says. */
function recogniseChain(
  family: TableFamily,
  seen: readonly SeenRule[],
  { name, rules }: Chain,
  whole: ChainState,
  nameless: (set: string) => string,
): ChainState {
  for (const [index, { bytes, comment }] of seen.entries()) {
    const rule = rules[index];
    if (rule === undefined || comment !== whole.comments[index]) continue;
    if (bodyOf(bytes, nameless) !== wantedBody(family, rule)) throw new NotKnown(`a rule of chain ${name}`);
  }
  return { ...whole, comments: seen.map(({ comment }) => comment) };
}
