/** Stage 4: ruleset -> nftables text, as nft(8) reads and an administrator would write it. */
import { familyBits, isExact, lastAddress, type Prefix } from '../model/index.js';
import type { Element, ListedElement } from '../ruleset/change.js';
import { ETHERTYPE, ETHERTYPE_ARP } from '../ruleset/ethertype.js';
import type {
  Action,
  Chain,
  Component,
  Field,
  Key,
  Match,
  NamedSet,
  Rule,
  Ruleset,
  Table,
  Verdict,
} from '../ruleset/types.js';
import type { NumberRange } from '../number-range.js';
import { harmless, ruleComment } from './comment.js';
import { FIELD_SYNTAX } from './fields.js';

/**
 * The whole ruleset as one text for `nft -f`, which loads it as one transaction. Our own tables are replaced, if they are
 * there; no other table is named.
 */
export function printRuleset(ruleset: Ruleset): string {
  return printTables(ruleset.tables);
}

/** As {@link printRuleset}, of tables. */
export function printTables(tables: readonly Table[]): string {
  return tables
    .map((table) => {
      const name = `${table.family} ${table.name}`;
      return `table ${name}\ndelete table ${name}\n${printTable(table)}`;
    })
    .join('\n');
}

/** One table as a block. */
export function printTable(table: Table): string {
  const blocks = [...[...table.sets.values()].map(printSet), ...[...table.chains.values()].map(printChain)];
  return `table ${table.family} ${table.name} {\n${blocks.join('\n')}}\n`;
}

function printSet(set: NamedSet): string {
  const lines = [`\t${setKind(set)} ${set.name} {`, ...setDeclaration(set).map((line) => `\t\t${line}`)];
  const elements = elementTexts(set);
  if (elements.length > 0) lines.push(`\t\telements = {\n\t\t\t${elements.join(',\n\t\t\t')}\n\t\t}`);
  return `${lines.join('\n')}\n\t}\n`;
}

/** `set` or `map`. */
export function setKind(set: NamedSet): 'set' | 'map' {
  return set.content.data === 'none' || set.content.data === 'tally' ? 'set' : 'map';
}

/** Type and flags of a set or map, a statement each. */
export function setDeclaration(set: NamedSet): readonly string[] {
  if (set.content.data === 'tally') {
    return [
      setType(set),
      `size ${set.content.room.keys.toString()}`,
      'flags dynamic,timeout',
      `timeout ${set.content.room.seconds.toString()}s`,
    ];
  }
  return [setType(set), ...(set.interval ? ['flags interval'] : [])];
}

function setType(set: NamedSet): string {
  const types = set.fields.map((field) => FIELD_SYNTAX[field].type);
  const fields = set.fields.map((field) => FIELD_SYNTAX[field].text).join(' . ');
  switch (set.content.data) {
    case 'tally':
    case 'none':
      return types.includes(undefined) ? `typeof ${fields}` : `type ${types.join(' . ')}`;
    case 'verdict':
      return `type ${types.join(' . ')} : verdict`;
    case 'zone':
      return `typeof ${fields} : ct zone`;
  }
}

/** Every element of a set or map as nft text. */
export function elementTexts({ content, fields }: NamedSet): readonly string[] {
  return content.elements.map((element) => elementText(fields, element));
}

/** An element with what it leads to. */
export function elementText(fields: readonly Field[], element: Element | ListedElement): string {
  const [key, data] = [elementKeyText(fields, element), elementDataText(element)];
  return data === '' ? key : `${key} : ${data}`;
}

/** An element's key. */
export function elementKeyText(fields: readonly Field[], element: Element | ListedElement): string {
  if ('listed' in element) return element.listed;
  return keyText(fields, 'key' in element ? element.key : element);
}

/** What an element leads to; '' in sets. */
export function elementDataText(element: Element | ListedElement): string {
  if (!('data' in element)) return '';
  const { data } = element;
  if (typeof data === 'object') return verdictText(data);
  return typeof data === 'number' ? data.toString() : data;
}

function printChain(chain: Chain): string {
  const lines = [`\t\tcomment "${harmless(chain.comment)}"`, ...hookLines(chain), ...chain.rules.map(printRule)];
  return `\tchain ${chain.name} {\n${lines.map((line) => `${line}\n`).join('')}\t}\n`;
}

function hookLines(chain: Chain): readonly string[] {
  return chain.hook === undefined ? [] : [`\t\t${hookText(chain.hook)}`];
}

/** The declaration of a base chain. Policy accept: what is not ours passes. */
export function hookText(hook: NonNullable<Chain['hook']>): string {
  return `type filter hook ${hook.hook} priority ${hook.priority.toString()}; policy accept;`;
}

function printRule(rule: Rule): string {
  return `\t\t${fullRuleText(rule)}`;
}

/** A rule with its comment. */
export function fullRuleText(rule: Rule): string {
  const text = ruleText(rule);
  return `${text} comment "${ruleComment(text, rule.comment)}"`;
}

/** A rule without its comment. */
export function ruleText(rule: Rule): string {
  return [...matchTexts(rule.matches), ...(rule.counter ? ['counter'] : []), actionText(rule.action)].join(' ');
}

/** Transport protocols that have a `dport` expression of their own. */
const PORT_KEYWORDS: ReadonlyMap<Component | undefined, string> = new Map<Component, string>([
  [6, 'tcp'],
  [17, 'udp'],
  [33, 'dccp'],
  [132, 'sctp'],
  [136, 'udplite'],
]);

function matchTexts(matches: readonly Match[]): readonly string[] {
  const texts: string[] = [];
  for (let index = 0; index < matches.length; index++) {
    const [match, next] = [matches[index], matches[index + 1]];
    if (match === undefined) continue;
    const keyword = PORT_KEYWORDS.get(singleValue(match, 'meta l4proto'));
    const port = next === undefined ? undefined : singleValue(next, 'th dport');
    if (keyword !== undefined && port !== undefined) {
      texts.push(`${keyword} dport ${componentText('th dport', port)}`);
      index++;
    } else {
      texts.push(matchText(match));
    }
  }
  return texts;
}

/** The value of a match that compares just this field with just one value. */
export function singleValue(match: Match, field: Field): Component | undefined {
  if (match.kind !== 'values' || match.negated || match.fields.length !== 1 || match.fields[0] !== field)
    return undefined;
  return match.keys.length === 1 ? match.keys[0]?.[0] : undefined;
}

function matchText(match: Match): string {
  switch (match.kind) {
    case 'values': {
      const keys = match.keys.map((key) => keyText(match.fields, key));
      const right = keys.length === 1 ? keys[0] : `{ ${keys.join(', ')} }`;
      return `${fieldsText(match.fields)} ${match.negated ? '!= ' : ''}${right ?? ''}`;
    }
    case 'set':
      return `${fieldsText(match.fields)} @${match.set}`;
    case 'device-prefix':
      return `${FIELD_SYNTAX[match.field].text} "${match.prefix}*"`;
    case 'ct-state':
      return `ct state ${match.states.join(',')}`;
    case 'ct-direction':
      return `ct direction ${match.direction}`;
    case 'ct-mark':
      return `ct mark & ${hex(match.mask, 8)} == ${hex(match.value, 8)}`;
    case 'packet-mark':
      return `meta mark & ${hex(match.mask, 8)} == ${hex(match.value, 8)}`;
  }
}

function actionText(action: Action): string {
  switch (action.kind) {
    case 'verdict':
      return verdictText(action.verdict);
    case 'tally':
      return `update @${action.set} { ${fieldsText(action.fields)} counter }`;
    case 'verdict-map':
      return `${fieldsText(action.fields)} vmap @${action.map}`;
    case 'inline-verdict-map': {
      const elements = action.elements.map(({ key, data }) => `${keyText(action.fields, key)} : ${verdictText(data)}`);
      return `${fieldsText(action.fields)} vmap { ${elements.join(', ')} }`;
    }
    case 'zone':
      return `ct zone set ${fieldsText(action.fields)} map @${action.map}`;
    case 'ct-mark':
      return `ct mark set ct mark | ${hex(action.bits, 8)}`;
    case 'packet-mark': {
      const others = hex(~action.mask >>> 0, 8);
      return `meta mark set meta mark & ${others} | ${hex(action.value, 8)}`;
    }
  }
}

export function verdictText(verdict: Verdict): string {
  switch (verdict.kind) {
    case 'accept':
    case 'drop':
    case 'return':
      return verdict.kind;
    case 'jump':
    case 'goto':
      return `${verdict.kind} ${verdict.chain}`;
  }
}

function fieldsText(fields: readonly Field[]): string {
  return fields.map((field) => FIELD_SYNTAX[field].text).join(' . ');
}

/** The key of a set element, or the value of fields in a match. */
export function keyText(fields: readonly Field[], key: Key): string {
  if (key.length === 1 && fields.length === 1) return componentText(fields[0], key[0]);
  return key.map((component, index) => componentText(fields[index], component)).join(' . ');
}

function componentText(field: Field | undefined, component: Component | undefined): string {
  switch (field) {
    case 'iifname':
    case 'oifname':
    case 'ibrname':
      return `"${plainText(component)}"`;
    case 'ether type':
    case 'meta protocol':
      return etherTypeText(component);
    case 'nd target':
      return typeof component === 'object' && 'family' in component ? hexRange(component) : plainText(component);
    default:
      return plainText(component);
  }
}

function plainText(component: Component | undefined): string {
  if (component === undefined) throw new Error('a key has fewer components than fields');
  if (typeof component === 'string') return component;
  if (typeof component === 'number') return component.toString();
  return 'family' in component ? component.text : rangeText(component);
}

function rangeText({ first, last }: NumberRange): string {
  return `${first.toString()}-${last.toString()}`;
}

function etherTypeText(component: Component | undefined): string {
  switch (component) {
    case ETHERTYPE.IPv4:
      return 'ip';
    case ETHERTYPE.IPv6:
      return 'ip6';
    case ETHERTYPE_ARP:
      return 'arp';
    default:
      return typeof component === 'number' ? hex(component, 4) : plainText(component);
  }
}

/** An address, or a prefix as a range, as plain integers: raw payload has no address syntax. */
function hexRange(prefix: Prefix): string {
  const digits = familyBits(prefix.family) / 4;
  const first = hex(prefix.network, digits);
  return isExact(prefix) ? first : `${first}-${hex(lastAddress(prefix), digits)}`;
}

function hex(value: number | bigint, digits: number): string {
  return `0x${value.toString(16).padStart(digits, '0')}`;
}
