/** What the kernel does with a packet in a chain: matches, look-ups, verdicts, jumps. */
import { covers, isExact } from '../model/index.js';
import type { Packet, Value } from './run-packet.js';
import type { Action, Chain, Component, Field, Key, Match, NamedSet, Rule, Table, Verdict } from './types.js';

/** A packet in a table. */
export interface Machine {
  readonly table: Table;
  readonly packet: Packet;
}

export type Outcome =
  | { readonly verdict: 'accept' | 'drop'; readonly decidedBy: { readonly chain: string; readonly comment: string } }
  | { readonly verdict: 'continue' };

const CONTINUE: Outcome = { verdict: 'continue' };

/** The kernel's NFT_JUMP_STACK_SIZE (net/netfilter/nf_tables.h). */
const MOST_DEPTH = 16;

/** Runs a packet through a chain, and what it leads to. */
export function runChain(machine: Machine, chain: Chain, depth: number): Outcome {
  if (depth > MOST_DEPTH) throw new Error(`jumps nest deeper than ${MOST_DEPTH.toString()}`);
  for (const rule of chain.rules) {
    if (!rule.matches.every((match) => matches(machine, match))) continue;
    const verdict = verdictOf(machine, rule.action);
    if (verdict === undefined) continue;
    const outcome = follow(machine, chain, rule, verdict, depth);
    if (outcome !== undefined) return outcome;
  }
  return CONTINUE;
}

/** What a verdict leads to; undefined goes on with the next rule. */
function follow(machine: Machine, chain: Chain, rule: Rule, verdict: Verdict, depth: number): Outcome | undefined {
  switch (verdict.kind) {
    case 'accept':
    case 'drop':
      return { verdict: verdict.kind, decidedBy: { chain: chain.name, comment: rule.comment } };
    case 'return':
      return CONTINUE;
    case 'goto':
      return runChain(machine, chainOf(machine.table, verdict.chain), depth + 1);
    case 'jump': {
      const outcome = runChain(machine, chainOf(machine.table, verdict.chain), depth + 1);
      return outcome.verdict === 'continue' ? undefined : outcome;
    }
  }
}

function chainOf(table: Table, name: string): Chain {
  const chain = table.chains.get(name);
  if (chain === undefined) throw new Error(`no chain ${name} in table ${table.family}`);
  return chain;
}

function setOf(table: Table, name: string): NamedSet {
  const set = table.sets.get(name);
  if (set === undefined) throw new Error(`no set ${name} in table ${table.family}`);
  return set;
}

function verdictOf({ table, packet }: Machine, action: Action): Verdict | undefined {
  switch (action.kind) {
    case 'verdict':
      return action.verdict;
    case 'tally':
      return undefined;
    case 'verdict-map': {
      const { content } = setOf(table, action.map);
      if (content.data !== 'verdict') throw new Error(`${action.map} is not a verdict map`);
      return content.elements.find(({ key }) => keyMatches(packet, action.fields, key))?.data;
    }
    case 'inline-verdict-map':
      return action.elements.find(({ key }) => keyMatches(packet, action.fields, key))?.data;
    case 'packet-mark':
      packet.mark = ((packet.mark & ~action.mask) | action.value) >>> 0;
      return undefined;
    case 'zone':
    case 'ct-mark':
      return undefined;
  }
}

function matches({ table, packet }: Machine, match: Match): boolean {
  switch (match.kind) {
    case 'values':
      // A field that the packet lacks ends the rule in the kernel, negated or not.
      if (match.fields.some((field) => !packet.fields.has(field))) return false;
      return match.keys.some((key) => keyMatches(packet, match.fields, key)) !== match.negated;
    case 'set':
      return setHas(packet, setOf(table, match.set), match.fields);
    case 'device-prefix': {
      const device = packet.fields.get(match.field);
      return typeof device === 'string' && device.startsWith(match.prefix);
    }
    case 'ct-state':
      return match.states.some((state) => packet.flow.states.includes(state));
    case 'ct-direction':
      return packet.flow.entry?.direction === match.direction;
    case 'ct-mark':
      return packet.flow.entry !== undefined && (packet.flow.entry.mark & match.mask) >>> 0 === match.value;
    case 'packet-mark':
      return (packet.mark & match.mask) >>> 0 === match.value;
  }
}

function setHas(packet: Packet, set: NamedSet, fields: readonly Field[]): boolean {
  if (set.content.data !== 'none') throw new Error(`${set.name} is a map, not a set`);
  return set.content.elements.some((key) => keyMatches(packet, fields, key));
}

function keyMatches(packet: Packet, fields: readonly Field[], key: Key): boolean {
  return fields.every((field, index) => componentMatches(packet.fields.get(field), key[index]));
}

function componentMatches(value: Value | undefined, component: Component | undefined): boolean {
  if (value === undefined || component === undefined) return false;
  if (typeof component !== 'object') return value === component;
  if ('family' in component) {
    return typeof value === 'object' && isExact(value) && covers(component, value);
  }
  return typeof value === 'number' && component.first <= value && value <= component.last;
}
