/** A packet as rules see it: the values of its fields, and what is known of its flow. */
import type { Direction, FlowState, Frame, Prefix } from '../model/index.js';
import type { CompileOptions } from '../options.js';
import { flowBits } from './admission.js';
import { ETHERTYPE, ETHERTYPE_ARP, ETHERTYPE_RARP } from './ethertype.js';
import type { CtState, Field, FlowDirection } from './types.js';

/** How the packet runs in its flow, and the marks that say what is known of that. */
export interface FlowOptions {
  readonly direction: FlowDirection;
  readonly options: CompileOptions;
}

export interface Devices {
  readonly iifname?: string;
  readonly oifname?: string;
}

export interface Sent {
  readonly frame: Frame;
  readonly state: FlowState;
  readonly flow: FlowOptions;
  /** The direction of policy that is judged. */
  readonly end: Direction;
}

export type Value = string | number | Prefix;

export interface Packet {
  readonly fields: ReadonlyMap<Field, Value>;
  readonly flow: Tracked;
  mark: number;
}

interface Tracked {
  readonly states: readonly CtState[];
  /** Undefined where there is no entry: then no rule that asks for one of these matches. */
  readonly entry: { readonly direction: FlowDirection; readonly mark: number } | undefined;
}

/** Types that nf_conntrack_icmpv6 never tracks: 130-136 and 143. A redirect (137) is related to its flow, or invalid. */
function isUntracked(frame: Frame): boolean {
  const { payload } = frame;
  if (payload.kind !== 'ip' || payload.transport.kind !== 'icmp' || payload.transport.protocol !== 58) return false;
  const { type } = payload.transport;
  return (type >= 130 && type <= 136) || type === 143;
}

/** The entry that a packet of such a flow would have. */
export function flowOf({ frame, state, flow: { direction, options }, end }: Sent): Tracked {
  if (isUntracked(frame)) return { states: [], entry: undefined };
  const { originator, responder, revoked } = flowBits(options);
  const isOriginator = (end === 'egress') === (direction === 'original');
  const [own, other] = isOriginator ? [originator, responder] : [responder, originator];
  switch (state) {
    case 'new':
      return { states: ['new'], entry: { direction: 'original', mark: 0 } };
    case 'established':
      // No port admits the flow that such a packet would answer.
      return { states: ['established'], entry: { direction, mark: end === 'egress' && isServer(frame) ? 0 : own } };
    case 'related':
      return isIcmp(frame)
        ? { states: ['related'], entry: { direction, mark: own } }
        : { states: ['related'], entry: { direction, mark: other } };
    case 'unadmitted':
      return { states: ['established'], entry: { direction, mark: other } };
    case 'invalid':
      return { states: ['invalid'], entry: undefined };
    case 'revoked':
      return { states: ['established'], entry: { direction, mark: (own | other | revoked) >>> 0 } };
  }
}

/** From a DHCP or DHCPv6 server to a client. */
function isServer({ payload }: Frame): boolean {
  if (payload.kind !== 'ip' || payload.transport.kind !== 'ports' || payload.transport.protocol !== 17) return false;
  const { sourcePort, destinationPort } = payload.transport;
  const [server, client] = payload.source.family === 'IPv4' ? [67, 68] : [547, 546];
  return sourcePort === server && destinationPort === client;
}

function isIcmp({ payload }: Frame): boolean {
  return payload.kind === 'ip' && (payload.transport.protocol === 1 || payload.transport.protocol === 58);
}

/** What a rule can ask of a frame. A field that is not there matches nothing. */
export function fieldsOf(frame: Frame, devices: Devices): ReadonlyMap<Field, Value> {
  const fields = new Map<Field, Value>();
  if (devices.iifname !== undefined) fields.set('iifname', devices.iifname);
  if (devices.oifname !== undefined) fields.set('oifname', devices.oifname);
  fields.set('ether saddr', frame.sourceMac);
  const etherType = etherTypeOf(frame);
  // The kernel shows the outermost type: the tag's, or the length field of an LLC frame (below 0x0600).
  fields.set('ether type', frame.vlanTags.length > 0 ? 0x8100 : frame.snap ? 64 : etherType);
  fields.set('meta protocol', frame.snap ? 0x0004 : etherType);
  if (!frame.snap) addPayload(fields, frame);
  return fields;
}

function etherTypeOf({ payload }: Frame): number {
  switch (payload.kind) {
    case 'ip':
      return ETHERTYPE[payload.source.family];
    case 'arp':
      return ETHERTYPE_ARP;
    case 'rarp':
      return ETHERTYPE_RARP;
    case 'other':
      return payload.etherType;
  }
}

function addPayload(fields: Map<Field, Value>, { payload }: Frame): void {
  switch (payload.kind) {
    case 'ip': {
      const ip = payload.source.family === 'IPv4' ? 'ip' : 'ip6';
      fields.set(`${ip} saddr`, payload.source);
      fields.set(`${ip} daddr`, payload.destination);
      fields.set('meta l4proto', payload.transport.protocol);
      addTransport(fields, payload.transport);
      return;
    }
    case 'arp':
      fields.set('arp operation', payload.operation);
      fields.set('arp saddr ether', payload.senderMac);
      fields.set('arp saddr ip', payload.senderIp);
      return;
    case 'rarp':
    case 'other':
      return;
  }
}

function addTransport(
  fields: Map<Field, Value>,
  transport: Extract<Frame['payload'], { kind: 'ip' }>['transport'],
): void {
  switch (transport.kind) {
    case 'ports':
      fields.set('th dport', transport.destinationPort);
      if (transport.protocol === 17) {
        fields.set('udp sport', transport.sourcePort);
        fields.set('udp dport', transport.destinationPort);
      }
      return;
    case 'icmp': {
      const icmp = transport.protocol === 1 ? 'icmp' : 'icmpv6';
      fields.set(`${icmp} type`, transport.type);
      fields.set(`${icmp} code`, transport.code);
      if (transport.target !== undefined) fields.set('nd target', transport.target);
      return;
    }
    case 'other':
      return;
  }
}
