/**
 * Would the policy let a live flow begin now? Asked of the oracle's semantics, for the flow's first packet: egress of the
 * local port that began it, ingress of the local port that it was for.
 */
import { groupsOf, judgeEgress, judgeIngress, macFor, type JudgeContext } from '../../compiler/explain/index.js';
import type { HostCompiler } from '../../compiler/index.js';
import {
  covers,
  PORT_PROTOCOLS,
  type Frame,
  type IpPacket,
  type Port,
  type Prefix,
  type Transport,
} from '../../src/model/index.js';
import type { Flow, FlowTuple } from '../netlink/conntrack.js';

/** `elsewhere`: neither end is a port of this host. */
export type Admission = 'admitted' | 'refused' | 'elsewhere';

/** An index of the host's ports by address, for one pass over many flows. */
export class AdmissionCheck {
  readonly #exact = new Map<string, Port[]>();
  readonly #wide: { readonly prefix: Prefix; readonly port: Port }[] = [];
  readonly #context: JudgeContext;

  constructor(
    private readonly compiler: HostCompiler,
    widestPairLength: JudgeContext['widestPairLength'],
  ) {
    this.#context = {
      topology: compiler.topology,
      widestPairLength,
      isMember: (kind, id, address) => compiler.isMember(kind, id, address),
    };
    for (const port of compiler.localPorts()) {
      for (const { text } of port.fixedIps) this.#add(text, port);
      for (const { prefix } of port.allowedAddressPairs) {
        if (prefix.text.includes('/')) this.#wide.push({ prefix, port });
        else this.#add(prefix.text, port);
      }
    }
  }

  judge(flow: Flow): Admission {
    const transport = transportOf(flow);
    const [sender, receiver] = [flow.original.source, flow.reply.source];
    const [senders, receivers] = [this.#portsAt(sender, flow.zone), this.#portsAt(receiver, flow.zone)];
    if (senders.length === 0 && receivers.length === 0) return 'elsewhere';
    // Flows that another one announced were let in as related, and flows that tracking knows no ports of cannot be told.
    if (flow.isExpected || transport === undefined) return 'admitted';
    const outgoing: IpPacket = { kind: 'ip', source: sender, destination: flow.original.destination, transport };
    const incoming: IpPacket = {
      kind: 'ip',
      source: sender,
      destination: receiver,
      transport: translated(flow, transport),
    };
    const mayLeave =
      senders.length === 0 ||
      senders.some((port) => this.#passes(judgeEgress, port, frameOf(outgoing, macFor(port, sender))));
    const mayEnter =
      receivers.length === 0 || receivers.some((port) => this.#passes(judgeIngress, port, frameOf(incoming, NO_MAC)));
    return mayLeave && mayEnter ? 'admitted' : 'refused';
  }

  /** Stateless ports judge every packet by itself: their half never depends on a flow. */
  #passes(judge: typeof judgeEgress, port: Port, frame: Frame): boolean {
    const isStateless = groupsOf(this.#context, port).some((group) => !group.stateful);
    return isStateless || judge(this.#context, port, frame, 'new').verdict === 'accept';
  }

  /** Ports that may have the address, in the zone; several where they share it. */
  #portsAt(address: Prefix, zone: number): readonly Port[] {
    const wide = this.#wide.filter(({ prefix }) => covers(prefix, address)).map(({ port }) => port);
    const exact = this.#exact.get(address.text) ?? [];
    // An address of its own is stronger than a wide pair of another port.
    return (exact.length > 0 ? exact : wide).filter((port) => this.compiler.zoneOf(port) === zone);
  }

  #add(address: string, port: Port): void {
    const ports = this.#exact.get(address);
    if (ports === undefined) this.#exact.set(address, [port]);
    else if (!ports.includes(port)) ports.push(port);
  }
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
