/** Why a packet passes or does not: both halves, the deciding rule, and for a drop the rules that came nearest. */
import {
  FAMILIES,
  type Direction,
  type Family,
  type FlowState,
  type Frame,
  type IpPacket,
  type Port,
  type Prefix,
  type Transport,
} from '../model/index.js';
import {
  groupsOf,
  judgeEgress,
  judgeIngress,
  macFor,
  ruleMismatches,
  type JudgeContext,
  type ReasonKind,
} from '../semantics/index.js';
import { becauseOf, mismatchText, reference, type RuleReference } from './texts.js';

/** One end of a packet: a port, or an address that no port has. */
export interface End {
  readonly port: Port | undefined;
  readonly address: Prefix;
}

export interface Half {
  readonly direction: Direction;
  /** Undefined when the end is an address that no port has: nothing is filtered there. */
  readonly port: { readonly id: string; readonly name: string } | undefined;
  readonly verdict: 'accept' | 'drop';
  readonly reason: ReasonKind | 'outside';
  /** Why, in one sentence. */
  readonly because: string;
  /** The rule that lets the packet pass. */
  readonly rule: RuleReference | undefined;
  /** For a drop by the rules: those that came nearest, and what about each did not match. */
  readonly nearest: readonly { readonly rule: RuleReference; readonly mismatches: readonly string[] }[];
  readonly hints: readonly string[];
}

export interface Explanation {
  readonly family: Family;
  readonly from: string;
  readonly to: string;
  readonly verdict: 'accept' | 'drop';
  /** Egress of the sender, then ingress of the receiver. */
  readonly halves: readonly [Half, Half];
}

const MOST_NEAREST = 3;

/** Explains one packet from one address to another. Both addresses are of one family. */
export function explain(
  context: JudgeContext,
  from: End,
  to: End,
  transport: Transport,
  state: FlowState,
): Explanation {
  const packet: IpPacket = { kind: 'ip', source: from.address, destination: to.address, transport };
  const frame = frameFrom(from, packet);
  const halves = [
    half(context, 'egress', from, frame, packet, state),
    half(context, 'ingress', to, frame, packet, state),
  ] as const;
  return {
    family: from.address.family,
    from: from.address.text,
    to: to.address.text,
    verdict: halves.every(({ verdict }) => verdict === 'accept') ? 'accept' : 'drop',
    halves,
  };
}

/** True when a new connection from a port's first address of the family reaches another's; false without an address. */
export function reachability(
  context: JudgeContext,
  from: Port,
  to: Port,
  protocol: 6 | 17,
  destinationPort: number,
  family: Family,
): boolean {
  const [source, destination] = [firstAddress(from, family), firstAddress(to, family)];
  if (source === undefined || destination === undefined) return false;
  const transport: Transport = { kind: 'ports', protocol, sourcePort: EPHEMERAL_PORT, destinationPort };
  const ends = [
    { port: from, address: source },
    { port: to, address: destination },
  ] as const;
  return explain(context, ends[0], ends[1], transport, 'new').verdict === 'accept';
}

/** A source port that is nobody's service (RFC 6335, dynamic range). */
export const EPHEMERAL_PORT = 50_000;

/** The first fixed IP of a family. */
export function firstAddress(port: Port, family: Family): Prefix | undefined {
  return port.fixedIps.find((address) => address.family === family);
}

/** Families in which both ports have a fixed IP. */
export function commonFamilies(a: Port, b: Port): readonly Family[] {
  return FAMILIES.filter((family) => firstAddress(a, family) !== undefined && firstAddress(b, family) !== undefined);
}

export function frameFrom({ port, address }: End, packet: IpPacket): Frame {
  const sourceMac = port === undefined ? '02:00:00:00:00:01' : macFor(port, address);
  return { sourceMac, vlanTags: [], snap: false, payload: packet };
}

/** @param isNearestWanted for a drop by the rules: what came nearest. */
export function half(
  context: JudgeContext,
  direction: Direction,
  { port, address }: End,
  frame: Frame,
  packet: IpPacket,
  state: FlowState,
  isNearestWanted = true,
): Half {
  if (port === undefined) {
    const because = `${address.text} is no port of this topology: not filtered here`;
    return { direction, port, verdict: 'accept', reason: 'outside', because, rule: undefined, nearest: [], hints: [] };
  }
  const judgement = (direction === 'egress' ? judgeEgress : judgeIngress)(context, port, frame, state);
  const { reason } = judgement;
  const byRules = isNearestWanted && reason.kind === 'no-rule';
  return {
    direction,
    port: { id: port.id, name: port.name },
    verdict: judgement.verdict,
    reason: reason.kind,
    because: becauseOf(judgement, direction),
    rule: reason.kind === 'rule' ? reference(context, reason.group, reason.rule) : undefined,
    nearest: byRules ? nearestRules(context, port, direction, packet) : [],
    hints: byRules ? hintsFor(context, port, direction, packet) : [],
  };
}

function nearestRules(context: JudgeContext, port: Port, direction: Direction, packet: IpPacket): Half['nearest'] {
  return (
    groupsOf(context, port)
      .flatMap((group) => group.rules.map((rule) => ({ group, rule })))
      // A rule of the other family is never the one that was meant.
      .filter(({ rule }) => rule.direction === direction && rule.family === packet.source.family)
      .map(({ group, rule }) => ({ group, rule, wrong: ruleMismatches(context, rule, direction, packet) }))
      .sort((a, b) => a.wrong.length - b.wrong.length || (a.rule.id < b.rule.id ? -1 : 1))
      .slice(0, MOST_NEAREST)
      .map(({ group, rule, wrong }) => ({
        rule: reference(context, group, rule),
        mismatches: wrong.map((mismatch) => mismatchText(context, rule, direction, packet, mismatch)),
      }))
  );
}

function hintsFor(context: JudgeContext, port: Port, direction: Direction, packet: IpPacket): readonly string[] {
  const hints: string[] = [];
  const groups = groupsOf(context, port);
  if (groups.some((group) => !group.stateful)) hints.push('the groups are stateless: replies need rules of their own');
  const remote = direction === 'ingress' ? packet.source : packet.destination;
  for (const other of context.topology.ports.values()) {
    for (const { prefix } of other.allowedAddressPairs) {
      const limit = context.widestPairLength[prefix.family];
      if (prefix.family !== remote.family || prefix.length >= limit || other.securityGroupIds.length === 0) continue;
      const named = groups.some((group) =>
        group.rules.some(({ remote: end }) => end.kind === 'security-group' && other.securityGroupIds.includes(end.id)),
      );
      if (named) {
        hints.push(
          `pair ${prefix.text} of port ${other.id} is wider than /${limit.toString()} and so no member of its groups`,
        );
      }
    }
  }
  return hints;
}
