/**
 * What a table holds, in a form in which a wanted table and a loaded one can be compared: sets with their elements as nft
 * text, chains with the comments of their rules. A rule's comment starts with a digest of the rule (comment.ts), so equal
 * comments are equal rules.
 */
import type { Chain, NamedSet, Room, Table, TableFamily } from '../ruleset/types.js';
import { ADMIT } from '../ruleset/admission.js';
import { FIELD_SYNTAX } from './fields.js';
import { ruleComment } from './comment.js';
import { elementDataText, elementKeyText, ruleText, setKind } from './text.js';

export interface TableState {
  readonly family: TableFamily;
  readonly name: string;
  /** What makes it another kind of table than ours, `dormant`, or objects that are not ours; '' for a table as we make it. */
  readonly oddities: string;
  readonly sets: ReadonlyMap<string, SetState>;
  readonly chains: ReadonlyMap<string, ChainState>;
}

export interface SetState {
  readonly kind: 'set' | 'map';
  /** Types, flags and data. Sets whose signatures differ are different sets: the kernel cannot turn one into the other. */
  readonly signature: string;
  /** Key text to data text; the data of a set's element is ''. */
  readonly elements: ReadonlyMap<string, string>;
}

export interface ChainState {
  /** Type, hook, priority and policy of a base chain; '' for others. */
  readonly hook: string;
  /** In order. A rule without a comment, which cannot be ours, is ''. */
  readonly comments: readonly string[];
}

/**
 * True when these tables, or such ones, tell flows that ports admitted from others: then live flows carry the bits. Of tables that were not
 * completed the chain is there, and has no rules yet (ahead.ts).
 */
export function holdsAdmission(tables: readonly TableState[]): boolean {
  return tables.some(({ chains }) => (chains.get(ADMIT.egress)?.comments.length ?? 0) > 0);
}

/** A comparison asks twice, of some ten thousand elements: to know the table again, and for the difference. */
const STATES = new WeakMap<Table, TableState>();

/** The state that a table of a ruleset will have once loaded: one and the same for one table. */
export function stateOf(table: Table): TableState {
  const known = STATES.get(table);
  if (known !== undefined) return known;
  const state = makeState(table);
  STATES.set(table, state);
  return state;
}

function makeState(table: Table): TableState {
  return {
    family: table.family,
    name: table.name,
    oddities: '',
    sets: new Map([...table.sets].map(([name, set]) => [name, setState(set)])),
    chains: new Map(
      [...table.chains].map(([name, chain]) => [
        name,
        {
          hook: chain.hook === undefined ? '' : hookSignature(chain.hook.hook, chain.hook.priority),
          comments: commentsOf(chain),
        },
      ]),
    ),
  };
}

/** Comments of a chain's rules as they are loaded. */
export function commentsOf({ rules }: Chain): readonly string[] {
  return rules.map((rule) => ruleComment(ruleText(rule), rule.comment));
}

export function hookSignature(hook: string, priority: number, type = 'filter', policy = 'accept'): string {
  return `${type} ${hook} ${priority.toString()} ${policy}`;
}

/** Types as libnftables-json(5) lists them: raw payload is `integer`, and so is a zone. */
export function setSignature(kind: string, types: readonly string[], data: string, interval: boolean): string {
  return `${kind} ${types.join('.')} ${data}${interval ? ' interval' : ''}`;
}

/** Of sets that packets fill: what they hold is nobody's wish. nft 1.0.6 lists their flag `timeout`, and not `dynamic`. */
export function tallySignature(signature: string, { keys, seconds }: Room): string {
  return `${signature} tally of ${keys.toString()} for ${seconds.toString()} s`;
}

function setState(set: NamedSet): SetState {
  const types = set.fields.map((field) => FIELD_SYNTAX[field].type ?? 'integer');
  const signature = setSignature(setKind(set), types, dataType(set), set.interval);
  return {
    kind: setKind(set),
    signature: set.content.data === 'tally' ? tallySignature(signature, set.content.room) : signature,
    elements: elementsOf(set),
  };
}

function dataType(set: NamedSet): string {
  switch (set.content.data) {
    case 'none':
    case 'tally':
      return '';
    case 'verdict':
      return 'verdict';
    case 'zone':
      return 'integer';
  }
}

/** The elements of a set as nft text, by key. */
function elementsOf({ content, fields }: NamedSet): ReadonlyMap<string, string> {
  return new Map(content.elements.map((element) => [elementKeyText(fields, element), elementDataText(element)]));
}
