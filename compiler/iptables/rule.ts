/**
 * A rule of iptables as data: made by the compiler, or read from what iptables-save(8) lists (read-rule.ts), and printed by
 * rule-text.ts alone. What a rule means is asked of these fields, never of its text.
 */
import type { Prefix } from '../model/index.js';
import type { NumberRange } from '../number-range.js';
import { chainName } from './names.js';

/** What is absent is not asked. The order of the fields is that in which a rule is listed. */
export interface IptablesRule {
  readonly source?: RulePrefix | undefined;
  readonly destination?: RulePrefix | undefined;
  /** A device's name, or the start of one with `+` behind it. */
  readonly input?: string | undefined;
  readonly output?: string | undefined;
  readonly protocol?: number | undefined;
  /** Any protocol but this one. */
  readonly notProtocol?: number | undefined;
  /** Absent for none. */
  readonly matches?: readonly Match[] | undefined;
  /** Without one a rule only counts. */
  readonly target?: Target | undefined;
}

/** Never of length 0: what everything is in is not asked, see {@link narrowing}. */
export type RulePrefix = Pick<Prefix, 'text' | 'length'>;

/** What an extension asks of a packet (iptables-extensions(8)). */
export type Match =
  | { readonly kind: 'mac'; readonly mac: string }
  | { readonly kind: 'set'; readonly set: string; readonly side: 'src' | 'dst' }
  /** `multiport`, of destinations. */
  | { readonly kind: 'ports'; readonly ranges: readonly NumberRange[] }
  | { readonly kind: 'udp'; readonly from: number; readonly to: number }
  | { readonly kind: 'icmp' | 'icmpv6'; readonly type: number; readonly code?: number | undefined }
  | { readonly kind: 'connmark'; readonly value: number; readonly mask: number }
  | { readonly kind: 'direction'; readonly direction: FlowDirection }
  | { readonly kind: 'state'; readonly states: readonly string[] }
  | { readonly kind: 'packet-type'; readonly type: string }
  /** `physdev`: the port of a bridge by which a packet came, or by which a bridge sends what came by another one. */
  | { readonly kind: 'bridge-input' | 'bridge-output'; readonly device: string }
  /** `physdev`: what the host itself sends to a bridge. */
  | { readonly kind: 'not-bridged' }
  /** In its own language, which nobody reads back. */
  | { readonly kind: 'u32'; readonly tests: string }
  /** Of a form that ours never have; verbatim. */
  | Other;

export type FlowDirection = 'ORIGINAL' | 'REPLY';

/** What becomes of a packet. */
export type Target =
  /** Where no such chain is, a target of somebody else's that has no options (`LOG`): a rule alone does not tell. */
  | { readonly kind: 'jump'; readonly chain: string }
  /** Nothing comes back from there. */
  | { readonly kind: 'goto'; readonly chain: string }
  | { readonly kind: 'verdict'; readonly verdict: Verdict }
  | { readonly kind: 'zone'; readonly zone: number }
  | { readonly kind: 'notrack' }
  | { readonly kind: 'mark' | 'connmark'; readonly value: number; readonly mask: number }
  | Other;

export type Verdict = 'ACCEPT' | 'DROP' | 'RETURN';

interface Other {
  readonly kind: 'other';
  readonly text: string;
}

/** Jumps to a chain. */
export function jumpTo(chain: string): Target {
  return { kind: 'jump', chain };
}

/** Goes to a chain for good. */
export function goTo(chain: string): Target {
  return { kind: 'goto', chain };
}

/** What ends a packet. */
export const DROP: Target = { kind: 'verdict', verdict: 'DROP' };

/** Goes on behind the rule that jumped here. */
export const RETURN: Target = { kind: 'verdict', verdict: 'RETURN' };

/** Where everything leads that passes: see ruleset/guard.ts. */
export const PASS: Target = goTo(chainName('pass'));

/** What a rule asks of addresses that are to be in a prefix; undefined for one that all are in. */
export function narrowing(prefix: RulePrefix | undefined): RulePrefix | undefined {
  return prefix?.length === 0 ? undefined : prefix;
}

/** The chain to which a rule leads every packet, so that they may come back; undefined for any other rule. */
export function jumpOfAll(rule: IptablesRule): string | undefined {
  return rule.target?.kind === 'jump' && asksNothing(rule) ? rule.target.chain : undefined;
}

/** True of a rule that every packet matches. */
function asksNothing(rule: IptablesRule): boolean {
  const { source, destination, input, output, protocol, notProtocol, matches = [] } = rule;
  return (source ?? destination ?? input ?? output ?? protocol ?? notProtocol) === undefined && matches.length === 0;
}
