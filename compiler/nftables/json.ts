/**
 * Stage 4, for tools: ruleset -> libnftables-json(5). Same objects as the text, to be read rather than loaded: sets keyed
 * by raw payload (targets of neighbour discovery) need `typeof`, which the JSON of nft 1.0.6 cannot say. The text can.
 */
import { familyBits, isExact, lastAddress, type Prefix } from '../model/index.js';
import type {
  Action,
  Chain,
  Component,
  Field,
  Key,
  MapElement,
  Match,
  NamedSet,
  Rule,
  Ruleset,
  Table,
  Verdict,
} from '../ruleset/types.js';
import { harmless, ruleComment } from './comment.js';
import { FIELD_SYNTAX, type JsonExpression, type JsonValue } from './fields.js';
import { ruleText, setKind } from './text.js';

/**
 * The ruleset as the commands that would load it: our tables are replaced, and nothing else is named. Chains come before
 * rules and map elements, since the commands are carried out one after another.
 */
export function printRulesetJson(ruleset: Ruleset): { readonly nftables: readonly JsonValue[] } {
  return { nftables: [{ metainfo: { json_schema_version: 1 } }, ...ruleset.tables.flatMap(tableCommands)] };
}

function tableCommands(table: Table): readonly JsonValue[] {
  const id = { family: table.family, name: table.name };
  const within = { family: table.family, table: table.name };
  const chains = [...table.chains.values()];
  const sets = [...table.sets.values()];
  return [
    { add: { table: id } },
    { delete: { table: id } },
    { add: { table: id } },
    ...chains.map((chain) => ({ add: { chain: { ...within, ...chainJson(chain) } } })),
    ...sets.map((set) => ({ add: { [setKind(set)]: { ...within, ...setJson(set) } } })),
    ...chains.flatMap((chain) =>
      chain.rules.map((rule) => ({ add: { rule: { ...within, chain: chain.name, ...ruleJson(rule) } } })),
    ),
  ];
}

function chainJson(chain: Chain): JsonExpression {
  const comment = { comment: harmless(chain.comment) };
  if (chain.hook === undefined) return { name: chain.name, ...comment };
  const { hook, priority } = chain.hook;
  return { name: chain.name, type: 'filter', hook, prio: priority, policy: 'accept', ...comment };
}

function setJson(set: NamedSet): JsonExpression {
  const types = set.fields.map((field) => FIELD_SYNTAX[field].type ?? 'integer');
  const [onlyType] = types;
  const elements = elementsJson(set);
  return {
    name: set.name,
    type: types.length === 1 && onlyType !== undefined ? onlyType : types,
    ...mapTypeJson(set),
    ...(set.interval ? { flags: ['interval'] } : {}),
    ...(set.content.data === 'tally'
      ? { flags: ['dynamic', 'timeout'], size: set.content.room.keys, timeout: set.content.room.seconds }
      : {}),
    ...(elements.length > 0 ? { elem: elements } : {}),
  };
}

function mapTypeJson(set: NamedSet): JsonExpression {
  switch (set.content.data) {
    case 'none':
    case 'tally':
      return {};
    case 'verdict':
      return { map: 'verdict' };
    case 'zone':
      return { map: 'mark' };
  }
}

function elementsJson({ content, fields }: NamedSet): readonly JsonValue[] {
  switch (content.data) {
    case 'tally':
      return [];
    case 'none':
      return content.elements.map((key) => keyJson(fields, key));
    case 'verdict':
      return content.elements.map((element) => mapElementJson(fields, element));
    case 'zone':
      return content.elements.map(({ key, data }) => [keyJson(fields, key), data]);
  }
}

function mapElementJson(fields: readonly Field[], { key, data }: MapElement<Verdict>): JsonValue {
  return [keyJson(fields, key), verdictJson(data)];
}

function ruleJson(rule: Rule): JsonExpression {
  return {
    expr: [...rule.matches.map(matchJson), ...(rule.counter ? [{ counter: null }] : []), actionJson(rule.action)],
    comment: ruleComment(ruleText(rule), rule.comment),
  };
}

function matchJson(match: Match): JsonExpression {
  switch (match.kind) {
    case 'values': {
      const keys = match.keys.map((key) => keyJson(match.fields, key));
      const [only] = keys;
      const right: JsonValue = keys.length === 1 && only !== undefined ? only : { set: keys };
      return { match: { op: match.negated ? '!=' : '==', left: fieldsJson(match.fields), right } };
    }
    case 'set':
      return { match: { op: '==', left: fieldsJson(match.fields), right: `@${match.set}` } };
    case 'device-prefix':
      return { match: { op: '==', left: FIELD_SYNTAX[match.field].json, right: `${match.prefix}*` } };
    case 'ct-state':
      return { match: { op: 'in', left: { ct: { key: 'state' } }, right: match.states } };
    case 'ct-direction':
      return { match: { op: '==', left: { ct: { key: 'direction' } }, right: match.direction } };
    case 'ct-mark':
      return { match: { op: '==', left: { '&': [{ ct: { key: 'mark' } }, match.mask] }, right: match.value } };
    case 'packet-mark':
      return { match: { op: '==', left: { '&': [{ meta: { key: 'mark' } }, match.mask] }, right: match.value } };
  }
}

function actionJson(action: Action): JsonExpression {
  switch (action.kind) {
    case 'verdict':
      return verdictJson(action.verdict);
    case 'tally': {
      const elem = fieldsJson(action.fields);
      return { set: { op: 'update', elem, set: `@${action.set}`, stmt: [{ counter: null }] } };
    }
    case 'verdict-map':
      return { vmap: { key: fieldsJson(action.fields), data: `@${action.map}` } };
    case 'inline-verdict-map': {
      const elements = action.elements.map((element) => mapElementJson(action.fields, element));
      return { vmap: { key: fieldsJson(action.fields), data: { set: elements } } };
    }
    case 'zone': {
      const value = { map: { key: fieldsJson(action.fields), data: `@${action.map}` } };
      return { mangle: { key: { ct: { key: 'zone' } }, value } };
    }
    case 'ct-mark': {
      const mark = { ct: { key: 'mark' } };
      return { mangle: { key: mark, value: { '|': [mark, action.bits] } } };
    }
    case 'packet-mark': {
      const mark = { meta: { key: 'mark' } };
      return { mangle: { key: mark, value: { '|': [{ '&': [mark, ~action.mask >>> 0] }, action.value] } } };
    }
  }
}

function verdictJson(verdict: Verdict): JsonExpression {
  switch (verdict.kind) {
    case 'accept':
    case 'drop':
    case 'return':
      return { [verdict.kind]: null };
    case 'jump':
    case 'goto':
      return { [verdict.kind]: { target: verdict.chain } };
  }
}

function fieldsJson(fields: readonly Field[]): JsonExpression {
  const expressions = fields.map((field) => FIELD_SYNTAX[field].json);
  const [only] = expressions;
  return expressions.length === 1 && only !== undefined ? only : { concat: expressions };
}

function keyJson(fields: readonly Field[], key: Key): JsonValue {
  const components = key.map((component, index) => componentJson(fields[index], component));
  const [only] = components;
  return components.length === 1 && only !== undefined ? only : { concat: components };
}

function componentJson(field: Field | undefined, component: Component): JsonValue {
  if (typeof component !== 'object') return component;
  if (!('family' in component)) return { range: [component.first, component.last] };
  if (field === 'nd target') return integerJson(component);
  if (isExact(component)) return component.text;
  const [addr] = component.text.split('/');
  return { prefix: { addr: addr ?? '', len: component.length } };
}

/** Raw payload compares with integers; JSON numbers end at 53 bits, so they are written as text. */
function integerJson(prefix: Prefix): JsonValue {
  const digits = familyBits(prefix.family) / 4;
  const hex = (value: bigint): string => `0x${value.toString(16).padStart(digits, '0')}`;
  return isExact(prefix) ? hex(prefix.network) : { range: [hex(prefix.network), hex(lastAddress(prefix))] };
}
