/**
 * Runs a packet through a ruleset, without a kernel: the same hooks, lookups and verdicts. For tests, and for tools that
 * ask where a packet ends up.
 */
import { covers, isExact, type Direction, type FlowState, type Frame, type Prefix } from '../model/index.js';
import { DEFAULT_OPTIONS, type CompileOptions } from '../options.js';
import { flowBits } from './admission.js';
import { ETHERTYPE, ETHERTYPE_ARP, ETHERTYPE_RARP } from './ethertype.js';
import type {
  Action,
  Chain,
  Component,
  CtState,
  Field,
  FlowDirection,
  Hook,
  Key,
  Match,
  NamedSet,
  Rule,
  Ruleset,
  Table,
  Verdict,
} from './types.js';
import { isBridged } from '../datapath.js';

export interface Passage {
  /** `unseen`: no hook of the ruleset sees such a frame (ARP to a port and frames that are not IP, when routed). */
  readonly verdict: 'accept' | 'drop' | 'unseen';
  /** Chain and comment of the rule that decided; undefined when the base chain's policy or nothing did. */
  readonly decidedBy: { readonly chain: string; readonly comment: string } | undefined;
}

/** How the packet runs in its flow, and the marks that say what is known of that. */
export interface FlowOptions {
  readonly direction: FlowDirection;
  readonly options: CompileOptions;
}

const PLAIN: FlowOptions = { direction: 'original', options: DEFAULT_OPTIONS };

/** A packet that the device sends into the host. */
export function runEgress(
  ruleset: Ruleset,
  device: string,
  frame: Frame,
  state: FlowState,
  flow: FlowOptions = PLAIN,
): Passage {
  const run = (family: Table['family'], hook: Hook['hook']): Passage =>
    runHook(ruleset, { family, hook }, { iifname: device }, { frame, state, flow, end: 'egress' });
  if (isBridged(ruleset.datapath)) return run('bridge', 'prerouting');
  switch (frame.payload.kind) {
    case 'ip':
      return isPlain(frame) ? run('inet', 'prerouting') : UNSEEN;
    case 'arp':
      return isPlain(frame) ? run('arp', 'input') : UNSEEN;
    case 'rarp':
    case 'other':
      return UNSEEN;
  }
}

/** A packet that the host is about to give to the device. */
export function runIngress(
  ruleset: Ruleset,
  device: string,
  frame: Frame,
  state: FlowState,
  flow: FlowOptions = PLAIN,
): Passage {
  const run = (family: Table['family']): Passage =>
    runHook(ruleset, { family, hook: 'postrouting' }, { oifname: device }, { frame, state, flow, end: 'ingress' });
  if (isBridged(ruleset.datapath)) return run('bridge');
  if (frame.payload.kind !== 'ip' || !isPlain(frame)) return UNSEEN;
  return run('inet');
}

const UNSEEN: Passage = { verdict: 'unseen', decidedBy: undefined };

function isPlain(frame: Frame): boolean {
  return frame.vlanTags.length === 0 && !frame.snap;
}

interface Devices {
  readonly iifname?: string;
  readonly oifname?: string;
}

interface Sent {
  readonly frame: Frame;
  readonly state: FlowState;
  readonly flow: FlowOptions;
  /** The direction of policy that is judged. */
  readonly end: Direction;
}

interface Place {
  readonly family: Table['family'];
  readonly hook: Hook['hook'];
}

function runHook(ruleset: Ruleset, place: Place, devices: Devices, sent: Sent): Passage {
  const fields = new Map(fieldsOf(sent.frame, devices));
  const own = devices.oifname === undefined ? undefined : ownMac(ruleset, devices.oifname);
  if (own !== undefined) fields.set('ether daddr', own);
  const packet: Packet = { fields, flow: flowOf(sent), mark: 0 };
  if (ruleset.datapath === 'bridge-netfilter' && isShown(sent.frame)) {
    // br_netfilter shows it to table inet before table bridge: as a packet of the bridge.
    const shown: Packet = { ...packet, fields: fieldsOf(sent.frame, {}) };
    runTables(ruleset, { family: 'inet', hook: 'prerouting' }, shown);
    packet.mark = shown.mark;
  }
  return runTables(ruleset, place, packet);
}

/** What is given to a port's device is taken to be for the port: its MAC, as the sets of own addresses have it. */
function ownMac(ruleset: Ruleset, device: string): string | undefined {
  for (const { sets } of ruleset.tables) {
    const content = sets.get('macs')?.content;
    const key = content?.data === 'none' ? content.elements.find(([name]) => name === device) : undefined;
    if (typeof key?.[1] === 'string') return key[1];
  }
  return undefined;
}

/** Untagged IP. */
function isShown(frame: Frame): boolean {
  return frame.payload.kind === 'ip' && isPlain(frame);
}

function runTables(ruleset: Ruleset, { family, hook }: Place, packet: Packet): Passage {
  for (const table of ruleset.tables) {
    if (table.family !== family) continue;
    for (const base of baseChainsOf(table, hook)) {
      const passage = runChain({ table, packet }, base, 0);
      if (passage.verdict === 'drop') return { verdict: 'drop', decidedBy: passage.decidedBy };
      if (passage.verdict === 'accept') return { verdict: 'accept', decidedBy: passage.decidedBy };
    }
  }
  return { verdict: 'accept', decidedBy: undefined };
}

function baseChainsOf(table: Table, hook: Hook['hook']): readonly Chain[] {
  return [...table.chains.values()]
    .filter((chain) => chain.hook?.hook === hook)
    .sort((a, b) => (a.hook?.priority ?? 0) - (b.hook?.priority ?? 0));
}

// The packet

type Value = string | number | Prefix;

interface Packet {
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
function flowOf({ frame, state, flow: { direction, options }, end }: Sent): Tracked {
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

function fieldsOf(frame: Frame, devices: Devices): ReadonlyMap<Field, Value> {
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

// The program

interface Machine {
  readonly table: Table;
  readonly packet: Packet;
}

type Outcome =
  | { readonly verdict: 'accept' | 'drop'; readonly decidedBy: { readonly chain: string; readonly comment: string } }
  | { readonly verdict: 'continue' };

const CONTINUE: Outcome = { verdict: 'continue' };

/** The kernel's NFT_JUMP_STACK_SIZE (net/netfilter/nf_tables.h). */
const MAX_DEPTH = 16;

function runChain(machine: Machine, chain: Chain, depth: number): Outcome {
  if (depth > MAX_DEPTH) throw new Error(`jumps nest deeper than ${MAX_DEPTH.toString()}`);
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
