/**
 * Rules as iptables-save(8) lists them, so that what is loaded can be compared with what is wanted: addresses, devices and
 * protocol before matches, numbers of marks in hexadecimal.
 */
import { protocolName } from './protocols.js';
import type { IptablesRule, Match, RulePrefix, Target } from './rule.js';

/** The rule without `-A CHAIN`. */
export function printRule(rule: IptablesRule): string {
  const { source, destination, input, output, protocol, notProtocol, matches, target } = rule;
  const parts: string[] = [];
  if (source !== undefined) parts.push('-s', printPrefix(source));
  if (destination !== undefined) parts.push('-d', printPrefix(destination));
  if (input !== undefined) parts.push('-i', printWord(input));
  if (output !== undefined) parts.push('-o', printWord(output));
  if (protocol !== undefined) parts.push('-p', protocolName(protocol));
  if (notProtocol !== undefined) parts.push('! -p', protocolName(notProtocol));
  if (matches !== undefined) for (const match of matches) parts.push(printMatch(match));
  if (target !== undefined) parts.push(printTarget(target));
  return parts.join(' ');
}

/** With its `-m`. */
export function printMatch(match: Match): string {
  switch (match.kind) {
    case 'mac':
      return `-m mac --mac-source ${match.mac}`;
    case 'set':
      return `-m set --match-set ${match.set} ${match.side}`;
    case 'ports':
      return `-m multiport --dports ${match.ranges
        .map(({ first, last }) => (first === last ? first.toString() : `${first.toString()}:${last.toString()}`))
        .join(',')}`;
    case 'udp':
      return `-m udp --sport ${match.from.toString()} --dport ${match.to.toString()}`;
    case 'icmp':
    case 'icmpv6': {
      const option = match.kind === 'icmp' ? '-m icmp --icmp-type' : '-m icmp6 --icmpv6-type';
      const code = match.code === undefined ? '' : `/${match.code.toString()}`;
      return `${option} ${match.type.toString()}${code}`;
    }
    case 'connmark':
      return `-m connmark --mark ${printBits(match)}`;
    case 'direction':
      return `-m conntrack --ctdir ${match.direction}`;
    case 'state':
      return `-m conntrack --ctstate ${match.states.join(',')}`;
    case 'packet-type':
      return `-m pkttype --pkt-type ${match.type}`;
    case 'bridge-input':
      return `-m physdev --physdev-in ${printWord(match.device)}`;
    case 'bridge-output':
      return `-m physdev --physdev-out ${printWord(match.device)} --physdev-is-bridged`;
    case 'not-bridged':
      return '-m physdev ! --physdev-is-bridged';
    case 'u32':
      return `-m u32 --u32 "${match.tests}"`;
    case 'other':
      return match.text;
  }
}

/** With its `-j` or `-g`. */
export function printTarget(target: Target): string {
  switch (target.kind) {
    case 'jump':
      return `-j ${target.chain}`;
    case 'goto':
      return `-g ${target.chain}`;
    case 'verdict':
      return `-j ${target.verdict}`;
    case 'zone':
      return `-j CT --zone ${target.zone.toString()}`;
    case 'notrack':
      return '-j CT --notrack';
    case 'mark':
      return `-j MARK --set-xmark ${printBits(target)}`;
    case 'connmark':
      return `-j CONNMARK --set-xmark ${printBits(target)}`;
    case 'other':
      return target.text;
  }
}

/** With its length, though it be one address. */
export function printPrefix({ text, length }: RulePrefix): string {
  return text.includes('/') ? text : `${text}/${length.toString()}`;
}

/** What iptables-restore(8) takes as one word, and iptables-save lists, without quotes. */
const PLAIN = /^[A-Za-z0-9_.@:=,~^%+-]+$/;

/** A word of iptables-restore(8): quoted where it must be. */
export function printWord(text: string): string {
  return PLAIN.test(text) ? text : `"${text.replaceAll(/["\\]/g, '\\$&')}"`;
}

function printBits({ value, mask }: { readonly value: number; readonly mask: number }): string {
  return `0x${value.toString(16)}/0x${mask.toString(16)}`;
}

/** True of rules that print the same. Most that are compared have the same objects in them. */
export function sameRule(a: IptablesRule, b: IptablesRule): boolean {
  return (
    a === b ||
    (samePrefix(a.source, b.source) &&
      samePrefix(a.destination, b.destination) &&
      a.input === b.input &&
      a.output === b.output &&
      a.protocol === b.protocol &&
      a.notProtocol === b.notProtocol &&
      sameMatches(a.matches, b.matches) &&
      sameTarget(a.target, b.target))
  );
}

function samePrefix(a: RulePrefix | undefined, b: RulePrefix | undefined): boolean {
  return a === b || (a?.text === b?.text && a?.length === b?.length);
}

function sameMatches(a: IptablesRule['matches'] = NONE, b: IptablesRule['matches'] = NONE): boolean {
  return a === b || (a.length === b.length && a.every((match, index) => sameMatch(match, b[index])));
}

const NONE: readonly Match[] = [];

function sameMatch(a: Match, b: Match | undefined): boolean {
  return a === b || (b !== undefined && printMatch(a) === printMatch(b));
}

function sameTarget(a: Target | undefined, b: Target | undefined): boolean {
  if (a === b) return true;
  // Those of the trees of devices, which are made anew with each change: two for each port.
  if (a?.kind === 'goto' && b?.kind === 'goto') return a.chain === b.chain;
  return a !== undefined && b !== undefined && printTarget(a) === printTarget(b);
}
