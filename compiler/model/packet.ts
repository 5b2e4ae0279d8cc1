/**
 * A packet as the policy sees it, on the wire between a port and the host. Used by `explain`, the oracle and the
 * evaluator of compiled rulesets.
 *
 * Fragments do not appear: connection tracking reassembles them before the policy.
 */
import type { Prefix } from './address.js';

export interface Frame {
  /** Lower case, colons. Any address: senders lie. */
  readonly sourceMac: string;
  /** Ids of the frame's VLAN tags, outermost first. */
  readonly vlanTags: readonly number[];
  /** True when the payload is wrapped in LLC/SNAP: the type field holds a length. */
  readonly snap: boolean;
  readonly payload: IpPacket | ArpPacket | RarpPacket | OtherPayload;
}

export interface IpPacket {
  readonly kind: 'ip';
  /** Exact addresses of one family. */
  readonly source: Prefix;
  readonly destination: Prefix;
  readonly transport: Transport;
}

export type Transport =
  | {
      readonly kind: 'ports';
      /** tcp 6, udp 17, dccp 33, sctp 132, udplite 136. */
      readonly protocol: 6 | 17 | 33 | 132 | 136;
      readonly sourcePort: number;
      readonly destinationPort: number;
    }
  | {
      readonly kind: 'icmp';
      /** ICMP 1, ICMPv6 58. */
      readonly protocol: 1 | 58;
      readonly type: number;
      readonly code: number;
      /** Target address of a neighbour solicitation or advertisement (RFC 4861, 4.3 and 4.4). */
      readonly target?: Prefix;
    }
  /** Any other protocol; for IPv6 the upper-layer one, behind the extension headers. */
  | { readonly kind: 'other'; readonly protocol: number };

/** ARP for IPv4 over Ethernet (RFC 826). */
export interface ArpPacket {
  readonly kind: 'arp';
  /** 1 request, 2 reply. */
  readonly operation: number;
  readonly senderMac: string;
  readonly senderIp: Prefix;
  readonly targetIp: Prefix;
}

/** Reverse ARP (RFC 903), sent by hypervisors after a migration. */
export interface RarpPacket {
  readonly kind: 'rarp';
}

export interface OtherPayload {
  readonly kind: 'other';
  /** EtherType, 0x0600-0xffff; not IPv4, IPv6, ARP, RARP or VLAN. */
  readonly etherType: number;
}

/**
 * What is known of a packet's flow where a port judges it.
 *
 * `new`: it begins one. `established`: the port's end admitted the flow, and the packet is of it. `related`: an ICMP error
 * about such a flow, or the beginning of a flow that an admitted one announced to a helper of the host. `unadmitted`:
 * connection tracking has an entry for it, but the port's end did not admit that flow, whoever made the entry. `revoked`: of a
 * flow whose permission was taken away. `invalid`: to connection tracking.
 */
export type FlowState = 'new' | 'established' | 'related' | 'unadmitted' | 'invalid' | 'revoked';
