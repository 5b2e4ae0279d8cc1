/**
 * Would the policy let a live flow go on? Asked of the oracle's semantics, for the flow's first packet: egress of the local
 * port that began it, ingress of the local port that it was for. Whether an end is a port of this host at all is what the
 * bits of the flow's mark say: an address alone says nothing, since ports have address pairs that cover anybody's.
 */
import { groupsOf, judgeEgress, judgeIngress, macFor, type JudgeContext } from '../../compiler/semantics/index.js';
import { linkLocalAddress, ownMacs, type FlowBits, type HostCompiler } from '../../compiler/index.js';
import {
  covers,
  PORT_PROTOCOLS,
  type Frame,
  type IpPacket,
  type Port,
  type Prefix,
  type Transport,
} from '../../compiler/model/index.js';
import type { Flow, FlowTuple } from '../netlink/conntrack.js';

/** `elsewhere`: no end of it is a port of this host that let it in. */
export type Admission = 'admitted' | 'refused' | 'elsewhere';

/** An index of the host's ports by address, for one pass over many flows. */
export class AdmissionCheck {
  readonly #fixed = new Map<string, Port[]>();
  readonly #pairs: { readonly prefix: Prefix; readonly port: Port }[] = [];
  readonly #context: JudgeContext;

  constructor(
    private readonly compiler: HostCompiler,
    private readonly bits: FlowBits,
    widestPairLength: JudgeContext['widestPairLength'],
  ) {
    this.#context = {
      topology: compiler.topology,
      widestPairLength,
      isMember: (kind, id, address) => compiler.isMember(kind, id, address),
    };
    for (const port of compiler.localPorts()) {
      for (const { text } of [...port.fixedIps, ...ownMacs(port).map(linkLocalAddress)]) this.#add(text, port);
      for (const { prefix } of port.allowedAddressPairs) this.#pairs.push({ prefix, port });
    }
  }

  /** By the ends that admitted the flow. */
  judge(flow: Flow): Admission {
    const { originator, responder } = this.bits;
    const senders = (flow.mark & originator) === 0 ? [] : this.#portsAt(flow.original.source, flow.zone);
    const receivers = (flow.mark & responder) === 0 ? [] : this.#portsAt(flow.reply.source, flow.zone);
    if (senders.length + receivers.length === 0) return 'elsewhere';
    const mayLeave = senders.length === 0 || this.#mayLeave(flow, senders);
    return mayLeave && (receivers.length === 0 || this.#mayEnter(flow, receivers)) ? 'admitted' : 'refused';
  }

  /** Bits of the ends that admitted the flow, are no port's here, and had one of these addresses. */
  absent({ mark, original, reply, zone }: Flow, gone: readonly Prefix[]): number {
    const isGone = (address: Prefix): boolean =>
      gone.some((prefix) => covers(prefix, address)) && this.#portsAt(address, zone).length === 0;
    const bitOf = (bit: number, address: Prefix): number => ((mark & bit) !== 0 && isGone(address) ? bit : 0);
    return (bitOf(this.bits.originator, original.source) | bitOf(this.bits.responder, reply.source)) >>> 0;
  }

  /**
   * The bits that a flow without any would have, had these rules been there when it began; 0 where they would not have let it
   * begin. Only for flows that nobody can have made to deceive: see Sweeper.seed.
   */
  bitsFor(flow: Flow): number {
    const filtered = (address: Prefix): readonly Port[] =>
      this.#portsAt(address, flow.zone).filter(({ filtering }) => filtering === 'filtered');
    const [senders, receivers] = [filtered(flow.original.source), filtered(flow.reply.source)];
    if (senders.length > 0 && !this.#mayLeave(flow, senders)) return 0;
    if (receivers.length > 0 && !this.#mayEnter(flow, receivers)) return 0;
    const isMet = receivers.length > 0 && !isToDhcpServer(flow);
    return ((senders.length > 0 ? this.bits.originator : 0) | (isMet ? this.bits.responder : 0)) >>> 0;
  }

  /** By the destination that the sender wrote, or by what the host's own translation made of it before it was judged. */
  #mayLeave(flow: Flow, senders: readonly Port[]): boolean {
    const transport = transportOf(flow);
    // Flows that another one announced were let in as related, and flows that tracking knows no ports of cannot be told.
    if (flow.isExpected || transport === undefined) return true;
    const { source, destination } = flow.original;
    const written: IpPacket = { kind: 'ip', source, destination, transport };
    const made: IpPacket = { ...written, destination: flow.reply.source, transport: translated(flow, transport) };
    return senders.some((port) =>
      (this.compiler.isTranslatedBefore ? [written, made] : [written]).some((packet) =>
        this.#passes(judgeEgress, port, frameOf(packet, macFor(port, source))),
      ),
    );
  }

  #mayEnter(flow: Flow, receivers: readonly Port[]): boolean {
    const transport = transportOf(flow);
    if (flow.isExpected || transport === undefined) return true;
    const incoming: IpPacket = {
      kind: 'ip',
      source: flow.original.source,
      destination: flow.reply.source,
      transport: translated(flow, transport),
    };
    return receivers.some((port) => this.#passes(judgeIngress, port, frameOf(incoming, NO_MAC)));
  }

  /** Stateless ports judge every packet by itself: their half never depends on a flow. */
  #passes(judge: typeof judgeEgress, port: Port, frame: Frame): boolean {
    const isStateless = groupsOf(this.#context, port).some((group) => !group.stateful);
    return isStateless || judge(this.#context, port, frame, 'new').verdict === 'accept';
  }

  /** Ports whose own the address is, in the zone; where it is nobody's, those that have it by a pair. */
  #portsAt(address: Prefix, zone: number): readonly Port[] {
    const isInZone = (port: Port): boolean => this.compiler.zoneOf(port, address) === zone;
    const owners = (this.#fixed.get(address.text) ?? []).filter(isInZone);
    if (owners.length > 0) return owners;
    return this.#pairs
      .filter(({ prefix }) => covers(prefix, address))
      .map(({ port }) => port)
      .filter(isInZone);
  }

  #add(address: string, port: Port): void {
    const ports = this.#fixed.get(address);
    if (ports === undefined) this.#fixed.set(address, [port]);
    else if (!ports.includes(port)) ports.push(port);
  }
}

/** No port admits a DHCP client's flow: its server's answers are judged (compiler/ruleset/admission.ts). */
function isToDhcpServer({ family, original: { protocol, sourcePort, destinationPort } }: Flow): boolean {
  const [client, server] = family === 'IPv4' ? [68, 67] : [546, 547];
  return protocol === 17 && sourcePort === client && destinationPort === server;
}

const NO_MAC = '02:00:00:00:00:01';

function frameOf(payload: IpPacket, sourceMac: string): Frame {
  return { sourceMac, vlanTags: [], snap: false, payload };
}

/** Undefined for protocols whose ports connection tracking does not know. */
function transportOf({ original }: Flow): Transport | undefined {
  const { protocol, sourcePort, destinationPort, icmp } = original;
  const portProtocol = PORT_PROTOCOLS.find((known) => known === protocol);
  if (portProtocol !== undefined) {
    if (sourcePort === 0 && destinationPort === 0) return undefined;
    return { kind: 'ports', protocol: portProtocol, sourcePort, destinationPort };
  }
  if (icmp !== undefined && (protocol === 1 || protocol === 58)) return { kind: 'icmp', protocol, ...icmp };
  return { kind: 'other', protocol };
}

/** As the receiver sees it, behind the host's own translation of the destination. */
function translated({ reply }: { readonly reply: FlowTuple }, transport: Transport): Transport {
  return transport.kind === 'ports' ? { ...transport, destinationPort: reply.sourcePort } : transport;
}
