/**
 * What a rule asks of a packet, in one form for a rule that is wanted and for one that nft lists: so that what changes can be said in the
 * words of permissions.
 */
import { z } from 'zod';
import { PROTOCOL_NUMBERS } from '../model/index.js';
import { ADMIT } from '../ruleset/admission.js';
import type { Field, Rule } from '../ruleset/types.js';
import { readComment } from './comment.js';
import { FIELD_SYNTAX } from './fields.js';
import { readComponent } from './listing.js';
import { keyText } from './text.js';

/** The values of the fields are one of the keys, or are in the set of that name. */
export interface Condition {
  readonly fields: readonly Field[];
  /** As nft text, one for each field. */
  readonly keys: readonly (readonly string[])[] | { readonly set: string };
}

export interface ReadRule {
  /** What its comment says (comment.ts); '' for none. */
  readonly label: string;
  /** The chain that it jumps to; undefined for none. */
  readonly jump: string | undefined;
  /** Undefined for a rule of a form that ours do not have. */
  readonly conditions: readonly Condition[] | undefined;
}

/** A rule that is wanted, in the form of one that is loaded. */
export function asListed(rule: Rule): ReadRule {
  const { action } = rule;
  const jump = action.kind === 'verdict' && action.verdict.kind === 'jump' ? action.verdict.chain : undefined;
  return { label: rule.comment, jump, conditions: conditionsOf(rule) };
}

/** Undefined for a rule that asks for more than values of fields. */
export function conditionsOf({ matches }: Rule): readonly Condition[] | undefined {
  const conditions: Condition[] = [];
  for (const match of matches) {
    if (match.kind === 'set') conditions.push({ fields: match.fields, keys: { set: match.set } });
    else if (match.kind === 'values' && !match.negated) {
      const keys = match.keys.map((key) =>
        key.map((component, index) => keyText(match.fields.slice(index, index + 1), [component])),
      );
      conditions.push({ fields: match.fields, keys });
    } else return undefined;
  }
  return conditions;
}

const statementSchema = z.record(z.string(), z.unknown());
const ruleSchema = z.looseObject({
  chain: z.string(),
  comment: z.string().optional(),
  expr: z.array(statementSchema).optional(),
});
const listingSchema = z.object({ nftables: z.array(z.looseObject({ rule: ruleSchema.optional() })) });
const matchSchema = z.object({ op: z.string(), left: z.unknown(), right: z.unknown() });

/**
 * The rules of each chain, in order.
 * @param listing the parsed output of `nft --json --numeric list table`.
 * @throws Error when it has not the documented form.
 */
export function readRules(listing: unknown): ReadonlyMap<string, readonly ReadRule[]> {
  const chains = new Map<string, ReadRule[]>();
  for (const { rule } of listingSchema.parse(listing).nftables) {
    if (rule === undefined) continue;
    const statements = rule.expr ?? [];
    const read = {
      label: readComment(rule.comment ?? '').label,
      jump: statements.flatMap((statement) => targetOf(statement['jump']) ?? [])[0],
      conditions: readStatements(statements),
    };
    const rules = chains.get(rule.chain);
    if (rules === undefined) chains.set(rule.chain, [read]);
    else rules.push(read);
  }
  return chains;
}

/** Undefined for what does not end in what a group permits: somebody's rule may drop, or ask for more. */
function readStatements(statements: readonly z.infer<typeof statementSchema>[]): readonly Condition[] | undefined {
  const conditions: Condition[] = [];
  let isPermit = false;
  for (const statement of statements) {
    const [kind] = Object.keys(statement);
    const read = kind === 'match' ? readMatch(statement['match']) : [];
    if (read === undefined) return undefined;
    conditions.push(...read);
    if (kind === 'goto') isPermit = Object.values(ADMIT).some((chain) => chain === targetOf(statement['goto']));
    else if (kind !== 'match' && kind !== 'counter') return undefined;
  }
  return isPermit ? conditions : undefined;
}

/** Of a jump, or a goto. */
function targetOf(verdict: unknown): string | undefined {
  const target = isRecord(verdict) ? verdict['target'] : undefined;
  return typeof target === 'string' ? target : undefined;
}

function readMatch(match: unknown): readonly Condition[] | undefined {
  const { op, left, right } = matchSchema.parse(match);
  if (op !== '==') return undefined;
  const parts = isRecord(left) && Array.isArray(left['concat']) ? (left['concat'] as readonly unknown[]) : [left];
  const known = parts.map(fieldOf);
  const fields = known.flatMap((part) => part?.field ?? []);
  if (fields.length !== parts.length) return undefined;
  if (typeof right === 'string' && right.startsWith('@')) return [{ fields, keys: { set: right.slice(1) } }];
  const values = isRecord(right) && Array.isArray(right['set']) ? (right['set'] as readonly unknown[]) : [right];
  const [field] = fields;
  if (field === undefined || fields.length > 1) return undefined;
  const keys = values.map((value) => readComponent(FIELD_SYNTAX[field].type, value)).filter((key) => key !== undefined);
  if (keys.length < values.length) return undefined;
  const protocol = known[0]?.protocol;
  return [
    ...(protocol === undefined ? [] : [{ fields: ['meta l4proto'] as const, keys: [[protocol.toString()]] }]),
    { fields: [field], keys: keys.map((key) => [key]) },
  ];
}

/** By their form in a listing. */
const FIELDS: ReadonlyMap<string, Field> = new Map(
  (Object.keys(FIELD_SYNTAX) as readonly Field[]).map((field) => [JSON.stringify(FIELD_SYNTAX[field].json), field]),
);

/** `tcp dport` is how nft lists a protocol and its port together. */
function fieldOf(expression: unknown): { readonly field: Field; readonly protocol?: number } | undefined {
  const field = FIELDS.get(JSON.stringify(expression));
  if (field !== undefined && !field.startsWith('udp ')) return { field };
  const payload = isRecord(expression) && isRecord(expression['payload']) ? expression['payload'] : {};
  const { protocol, field: part } = payload;
  const number = typeof protocol === 'string' ? PROTOCOL_NUMBERS.get(protocol) : undefined;
  return part === 'dport' && number !== undefined ? { field: 'th dport', protocol: number } : undefined;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
