/**
 * How a flow is known to be admitted: two bits of its conntrack mark, one for each end. The originator's is set by the
 * egress of the port that began the flow, the responder's by the ingress of the port that it was for; a third says that a
 * permission was taken away. A packet of a flow passes a port by the bit of that port's end alone. That connection tracking
 * calls it established says nothing: anybody can make an entry with anybody's address. docs/decisions/admission.md.
 */
import { FAMILIES, ICMP, ICMPV6, UDPLITE, type Direction } from '../model/index.js';
import type { CompileOptions } from '../options.js';
import { ACCEPT, act, chain, ctState, dropped, goTo, inSet, is, isNot, jump, LAST, RETURN, rule } from './build.js';
import { ETHERTYPE } from './ethertype.js';
import { DHCP } from './service-traffic.js';
import type { Chain, Field, FlowDirection, Hook, Match, Rule } from './types.js';

/** Bits of the conntrack mark. */
export interface FlowBits {
  readonly originator: number;
  readonly responder: number;
  readonly revoked: number;
}

export function flowBits({ admittedMark, revokedMark }: CompileOptions): FlowBits {
  return { originator: admittedMark, responder: admittedMark * 2, revoked: revokedMark };
}

/**
 * Bits of the packet mark in which table inet tells table bridge what is known of a packet's flow (bridge-netfilter): that
 * it saw the packet; that the sender's, and that the receiver's end admitted the flow. The last two without the first:
 * invalid or revoked. Table bridge tells back in them what its rules let pass.
 */
export interface ToldBits {
  readonly seen: number;
  readonly egress: number;
  readonly ingress: number;
}

export function toldBits({ stateMark }: Pick<CompileOptions, 'stateMark'>): ToldBits {
  return { seen: stateMark, egress: stateMark * 2, ingress: stateMark * 4 };
}

/** All three. */
export function toldMask(bits: ToldBits): number {
  return (bits.seen | bits.egress | bits.ingress) >>> 0;
}

/** The ends of a flow that is judged by its two directions: which bit lets a packet pass a hook. */
const ENDS: Readonly<Record<Direction, readonly (readonly [FlowDirection, 'originator' | 'responder'])[]>> = {
  egress: [
    ['original', 'originator'],
    ['reply', 'responder'],
  ],
  ingress: [
    ['original', 'responder'],
    ['reply', 'originator'],
  ],
};

/** Where groups lead what they let pass. */
export const ADMIT: Readonly<Record<Direction, string>> = { egress: 'admit_out', ingress: 'admit_in' };
/** Service traffic that no rule is needed for, and that no group let pass. */
export const SERVICES: Readonly<Record<Direction, string>> = { egress: 'services_out', ingress: 'services_in' };

/** Linux calls it invalid whenever it has a checksum, as long as checksums are looked at, which is the default: it has no flows, then. */
const NOT_UDPLITE = isNot('meta l4proto', UDPLITE);
const UDP_TO_DHCP_SERVER = betweenDhcp('client', 'server');
const UDP_FROM_DHCP_SERVER = betweenDhcp('server', 'client');

function betweenDhcp(from: 'client' | 'server', to: 'client' | 'server'): readonly (readonly Match[])[] {
  return FAMILIES.map((family) => [
    is('meta protocol', ETHERTYPE[family]),
    is('udp sport', DHCP[family][from]),
    is('udp dport', DHCP[family][to]),
  ]);
}

function carries(set: number, unset: number): Match {
  return { kind: 'ct-mark', mask: (set | unset) >>> 0, value: set };
}

function told(bits: ToldBits, ...which: readonly (keyof ToldBits)[]): Match {
  const mask = which.reduce((sum, key) => (sum | bits[key]) >>> 0, 0);
  return { kind: 'packet-mark', mask, value: mask };
}

/** A packet of a flow that the end which this hook judges admitted, once for each direction. */
function admitted(direction: Direction, options: CompileOptions): readonly (readonly Match[])[] {
  if (options.datapath === 'bridge-netfilter') return [[told(toldBits(options), 'seen', direction)]];
  const bits = flowBits(options);
  return ENDS[direction].map(([way, end]) => [
    carries(bits[end], bits.revoked),
    { kind: 'ct-direction', direction: way },
  ]);
}

/** What the fast path asks for, beside the flow. */
export interface OwnLookup {
  readonly egress: Readonly<Record<'IPv4' | 'IPv6', { readonly fields: readonly Field[]; readonly set: string }>>;
  readonly ingress: { readonly fields: readonly Field[]; readonly set: string };
}

/**
 * The first rules of a base chain: packets of admitted flows from and to stateful ports, without profiles and groups. ICMPv6
 * goes the long way: a redirect belongs to a flow, and no port may send one. Who acts as a DHCP server never gets here, since
 * no port's end admits a DHCP client's flow (see {@link admitChains}).
 */
export function fastPath(direction: Direction, own: OwnLookup, options: CompileOptions): readonly Rule[] {
  const comment = 'flow that the port admitted';
  if (direction === 'ingress') {
    const { fields, set } = own.ingress;
    return admitted('ingress', options).map((flow) => rule([...flow, inSet(fields, set)], ACCEPT, comment));
  }
  const tagged = options.datapath !== 'routed';
  return (['IPv4', 'IPv6'] as const).flatMap((family) => {
    const { fields, set } = own.egress[family];
    return admitted('egress', options).map((flow) =>
      rule(
        [
          ...flow,
          ...(tagged ? [is('ether type', ETHERTYPE[family])] : []),
          ...(family === 'IPv6' ? [isNot('meta l4proto', ICMPV6)] : []),
          inSet(fields, set),
        ],
        ACCEPT,
        comment,
      ),
    );
  });
}

/**
 * The end of the prologue of stateful ports. Returns for packets that the groups must judge: those that begin a flow, and
 * those of a flow that this end did not admit, whoever made its entry.
 * @param isForPort what tells, beside the flow, that a packet is for the port itself.
 */
export function connectionState(
  direction: Direction,
  options: CompileOptions,
  isForPort: readonly Match[] = [],
): readonly Rule[] {
  const refuse = (matches: readonly Match[], comment: string): readonly Rule[] => [
    rule(matches, jump(SERVICES[direction]), 'service traffic'),
    ...dropped(direction, matches, comment),
  ];
  const admittedRules = admitted(direction, options).map((flow) =>
    rule([...flow, ...isForPort], ACCEPT, 'flow that the port admitted'),
  );
  if (options.datapath === 'bridge-netfilter') {
    const bits = toldBits(options);
    return [
      ...admittedRules,
      rule([told(bits, 'seen')], RETURN, 'to be judged'),
      ...refuse(
        [told(bits, 'egress', 'ingress')],
        'flow whose permission was revoked, or invalid to connection tracking',
      ),
      ...refuse([], 'br_netfilter did not show it to table inet'),
    ];
  }
  const bits = flowBits(options);
  return [
    rule([ctState('new')], RETURN, 'to be judged'),
    ...admittedRules,
    ...refuse([carries(bits.revoked, 0)], 'flow whose permission was revoked'),
    ...refuse([ctState('invalid'), NOT_UDPLITE], 'invalid to connection tracking'),
    ...announced(bits).map((flow) => rule(flow, goTo(ADMIT[direction]), 'flow that an admitted one announced')),
  ];
}

/** A flow that a helper expects begins with the mark of the flow that announced it, and may run the other way. */
function announced({ originator, responder }: FlowBits): readonly (readonly Match[])[] {
  return [originator, responder].map((bit) => [
    ctState('related'),
    isNot('meta l4proto', ICMP, ICMPV6),
    carries(bit, 0),
  ]);
}

/**
 * What groups let pass. A flow is admitted by packets in its original direction alone: an answer that the rules let pass
 * passes for itself. A DHCP client's flow is not admitted, so that no answer of a DHCP server is an answer of a flow.
 */
export function admitChains(options: CompileOptions): readonly Chain[] {
  const serverless = UDP_TO_DHCP_SERVER.map((matches) => rule(matches, ACCEPT, 'DHCP: its answers are judged'));
  const admit = (direction: Direction): Rule => {
    if (options.datapath === 'bridge-netfilter') {
      const bit = toldBits(options)[direction];
      return act({ kind: 'packet-mark', mask: bit, value: bit }, 'told to table inet');
    }
    const bit = flowBits(options)[direction === 'egress' ? 'originator' : 'responder'];
    return {
      ...act({ kind: 'ct-mark', bits: bit }, 'the port admits the flow'),
      matches: [{ kind: 'ct-direction', direction: 'original' }],
    };
  };
  return [
    chain(ADMIT.egress, 'what a group lets out', [admit('egress'), rule([], ACCEPT, 'by a rule of a group')]),
    chain(ADMIT.ingress, 'what a group lets in', [
      ...serverless,
      admit('ingress'),
      rule([], ACCEPT, 'by a rule of a group'),
    ]),
  ];
}

/**
 * Chains of table inet that say of each packet to a bridge that br_netfilter shows it to iptables, which stands at the same hooks: what it
 * does not see table bridge drops. What ports send is asked for its debt instead: see guard.ts.
 */
export function seenChains({ stateMark: bit }: CompileOptions): readonly Chain[] {
  const seen = act({ kind: 'packet-mark', mask: bit, value: bit }, 'shown to iptables');
  const base = (name: string, hook: Hook['hook'], priority: number): Chain =>
    chain(name, 'tells table bridge what iptables sees', [seen], { hook, priority });
  // Others write whole packet marks in forward.
  return [base('seen_out', 'output', 0), base('seen_forward', 'forward', LAST)];
}

/** Before what others have in a hook (linux/netfilter_ipv4.h names -450 to INT_MAX). */
const FIRST = -500;

/** Sets of table inet beside table bridge: bridges of ports, and the same by both devices of what crosses one. */
export const BRIDGE_SETS = { bridges: 'bridges', crossings: 'crossings' } as const;

/**
 * Chains of table inet that tell table bridge what is known of flows, and remember what table bridge let pass.
 *
 * What comes to a bridge from the host's own stack was confirmed before table bridge judges it, and nothing of it comes back
 * to table inet: so each of its packets is judged by the port's rules, and an answer to it passes.
 */
export function tellingChains(options: CompileOptions): readonly Chain[] {
  const bits = toldBits(options);
  const flow = flowBits(options);
  const mask = toldMask(bits);
  const tell = (matches: readonly Match[], value: number, comment: string, of = mask): Rule => ({
    ...act({ kind: 'packet-mark', mask: of, value }, comment),
    matches,
  });
  // What is remembered already is not asked again: that is most packets.
  const remember = (matches: readonly Match[], bit: number, comment: string): Rule => ({
    ...act({ kind: 'ct-mark', bits: bit }, comment),
    matches: [carries(0, bit), { kind: 'ct-direction', direction: 'original' }, ...matches],
  });
  const refused = (bits.egress | bits.ingress) >>> 0;
  const sender = remember([told(bits, 'seen', 'egress')], flow.originator, 'the sender admits the flow');
  // Of what table bridge tells, requests to DHCP servers are left out already; what was announced is not asked there.
  const toReceiver = told(bits, 'seen', 'ingress');
  const receiver: readonly Rule[] = [
    remember([toReceiver, ctState('new', 'established')], flow.responder, 'the receiver admits the flow'),
    rule(
      [carries(0, flow.responder), ctState('related'), { kind: 'ct-direction', direction: 'original' }, toReceiver],
      jump('receiver'),
      'see there',
    ),
  ];
  type Step = Rule | 'state' | 'to_bridge';
  const base = (name: string, hook: Hook['hook'], priority: number, steps: readonly Step[], comment: string): Chain =>
    chain(
      name,
      comment,
      steps.map((step) => (typeof step === 'string' ? rule([], jump(step), 'see there') : step)),
      { hook, priority },
    );
  const erased: Rule = rule(
    [{ kind: 'packet-mark', mask: bits.seen, value: 0 }],
    jump('state'),
    'told again, if somebody erased it',
  );
  const bridged = rule([inSet(['iifname', 'oifname'], BRIDGE_SETS.crossings)], RETURN, 'crosses a bridge');
  // The general way says the same, in ten rules.
  const known = rule(
    [carries(flow.originator | flow.responder, flow.revoked)],
    goTo('known'),
    'both ends admitted the flow, so either way passes',
  );
  return [
    chain('state', 'tells table bridge of flows', [
      tell([], bits.seen, 'seen'),
      // All that follows is about entries that are known or marked: one rule instead of eight for the first packet of a flow.
      rule(
        [ctState('new'), carries(0, flow.originator | flow.responder | flow.revoked)],
        RETURN,
        'nobody admitted it yet',
      ),
      ...(['egress', 'ingress'] as const).flatMap((direction) =>
        ENDS[direction].map(([way, end]) =>
          tell(
            [carries(flow[end], flow.revoked), { kind: 'ct-direction', direction: way }],
            bits[direction],
            `the ${end}'s end admitted the flow`,
            bits[direction],
          ),
        ),
      ),
      // The rest is about flows that are announced, revoked or none.
      rule([ctState('new', 'established'), carries(0, flow.revoked)], RETURN, 'all is told'),
      ...announced(flow).map((matches) => rule(matches, jump('announced'), 'flow that an admitted one announced')),
      tell([ctState('established', 'related'), carries(flow.revoked, 0)], refused, 'flow whose permission was revoked'),
      tell([ctState('invalid'), NOT_UDPLITE], refused, 'invalid to connection tracking'),
    ]),
    chain('known', 'a flow that both of its ends admitted', [tell([], mask, 'seen, and admitted by both ends')]),
    chain('announced', 'a flow that an admitted one announced', [
      ...UDP_FROM_DHCP_SERVER.map((matches) => rule(matches, RETURN, 'who acts as a DHCP server is judged')),
      tell([], mask, 'both ends admit it'),
    ]),
    chain('receiver', 'the receiver admits a flow that was announced', [
      ...UDP_TO_DHCP_SERVER.map((matches) => rule(matches, RETURN, 'DHCP: its answers are judged')),
      remember([], flow.responder, 'its answers pass'),
    ]),
    chain('to_bridge', 'from the host itself to a bridge', [
      remember([inSet(['oifname'], BRIDGE_SETS.bridges)], flow.responder, 'answers pass'),
      {
        ...tell(
          [{ kind: 'ct-direction', direction: 'original' }, inSet(['oifname'], BRIDGE_SETS.bridges)],
          0,
          'each packet is judged',
          bits.ingress,
        ),
      },
    ]),
    base('state_in', 'prerouting', 0, [known, 'state'], 'packets that arrive'),
    base('state_out', 'output', 0, ['state', 'to_bridge'], 'packets that the host makes'),
    // What table bridge let pass. Others write whole packet marks in forward: what the mark says is remembered before them,
    // and told again behind them. The receiver's end is judged behind forward.
    base('remember_forward', 'forward', FIRST, [sender], 'packets that the host or a bridge forwards'),
    base(
      'state_forward',
      'forward',
      LAST,
      [erased, bridged, 'to_bridge'],
      'packets that the host or a bridge forwards',
    ),
    base('remember_in', 'input', FIRST, [sender, ...receiver], 'packets to the host'),
    base('remember_out', 'postrouting', FIRST, receiver, 'packets that leave'),
  ];
}
