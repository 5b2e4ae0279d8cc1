/**
 * Which of many packets pass, exactly: what is asked is cut into classes of which no rule, member or service of the policy tells two
 * packets apart, and one packet of each is judged.
 */
import {
  type Direction,
  type Family,
  type FlowState,
  type Prefix,
  type Remote,
  type SecurityGroupRule,
  type Transport,
} from '../model/index.js';
import { endClasses, familyOfEnds, portsOfEnds, rangeOf, type EndClass, type Ends } from './ends.js';
import { frameFrom, half, type End, type Half } from './explain.js';
import { groupsOf, judgeEgress, judgeIngress, members, type JudgeContext } from '../semantics/index.js';
import { holds, union, type Ranges } from './partition.js';
import { joined, serviceClasses, type ServiceClass, type ServiceSet } from './services.js';

/** Every combination of an end that sends, one that receives, and a service. Both ends are of one family. */
export interface PacketSet {
  readonly from: Ends;
  readonly to: Ends;
  readonly services: readonly ServiceSet[];
}

export interface SetExplanation {
  readonly family: Family;
  readonly verdict: 'accept' | 'drop' | 'partial';
  /** Together they are what was asked; those that pass come first. */
  readonly parts: readonly Part[];
}

/** Packets that pass, or do not, for one reason. */
export interface Part {
  readonly verdict: 'accept' | 'drop';
  /** Both halves where it passes, those that drop it otherwise; of one of its packets. */
  readonly halves: readonly Half[];
  readonly packets: readonly PacketBox[];
}

/** Every combination of an address that sends, one that receives, and a service. */
export interface PacketBox {
  readonly from: Ranges;
  readonly to: Ranges;
  readonly services: readonly ServiceSet[];
}

/** More than this are not judged, and the question is to be narrowed: each takes some microseconds, and more with many rules. */
const MOST_CASES = 250_000;

/** There are more different cases among the packets than can be judged. */
export class TooManyCases extends Error {
  override readonly name = 'TooManyCases';
}

/** @throws TooManyCases */
export function explainSet(given: JudgeContext, asked: PacketSet, state: FlowState): SetExplanation {
  const { topology } = given;
  const family = familyOfEnds(asked.from);
  const sent = rulesOf(given, asked.from, 'egress', family);
  const received = rulesOf(given, asked.to, 'ingress', family);
  const remotes = remotesOf(given, family, [...sent, ...received]);
  const context: JudgeContext = { ...given, isMember: memberTest(remotes) };
  const senders = endClasses(topology, asked.from, conditionsOf(remotes, received));
  const receivers = endClasses(topology, asked.to, conditionsOf(remotes, sent));
  const services = asked.services.flatMap((set) => serviceClasses(set, [...sent, ...received]));
  const cases = senders.length * receivers.length * services.length;
  if (cases > MOST_CASES) throw new TooManyCases(`${cases.toString()} different cases are more than can be judged`);
  const parts = new Map<string, [Box, ...Box[]]>();
  for (const sender of senders) {
    for (const receiver of receivers) {
      const boxes = new Map<string, Box>();
      for (const service of services) {
        const key = fateOf(context, sender.end, receiver.end, service.example, state);
        const box = boxes.get(key);
        if (box !== undefined) box.services.push(service);
        else boxes.set(key, { sender, receiver, services: [service] });
      }
      for (const [key, box] of boxes) {
        const part = parts.get(key);
        if (part === undefined) parts.set(key, [box]);
        else part.push(box);
      }
    }
  }
  const found = [...parts.values()].map((boxes) => partOf(context, boxes, state));
  const passing = found.filter(({ verdict }) => verdict === 'accept');
  const verdict = passing.length === 0 ? 'drop' : passing.length === found.length ? 'accept' : 'partial';
  return { family, verdict, parts: [...passing, ...found.filter((part) => part.verdict === 'drop')] };
}

/** What one class of senders sends to one class of receivers, and is of one fate for one reason. */
interface Box {
  readonly sender: EndClass;
  readonly receiver: EndClass;
  readonly services: [ServiceClass, ...ServiceClass[]];
}

/** The same for the same verdict for the same reason. A half that lets pass what the other one drops does not matter. */
function fateOf(context: JudgeContext, from: End, to: End, transport: Transport, state: FlowState): string {
  const frame = frameFrom(from, { kind: 'ip', source: from.address, destination: to.address, transport });
  const judgements = [
    from.port === undefined ? undefined : judgeEgress(context, from.port, frame, state),
    to.port === undefined ? undefined : judgeIngress(context, to.port, frame, state),
  ];
  const isDropped = judgements.some((judgement) => judgement?.verdict === 'drop');
  return judgements
    .map((judgement) => {
      if (isDropped && judgement?.verdict !== 'drop') return '-';
      return judgement?.reason.kind === 'rule' ? judgement.reason.rule.id : (judgement?.reason.kind ?? '');
    })
    .join(isDropped ? ' x ' : ' > ');
}

function partOf(context: JudgeContext, boxes: readonly [Box, ...Box[]], state: FlowState): Part {
  const { sender, receiver, services } = boxes[0];
  const { end: from } = sender;
  const { end: to } = receiver;
  const packet = { kind: 'ip', source: from.address, destination: to.address, transport: services[0].example } as const;
  const frame = frameFrom(from, packet);
  // What came nearest is not looked for: it is another one for each packet.
  const halves = [
    half(context, 'egress', from, frame, packet, state, false),
    half(context, 'ingress', to, frame, packet, state, false),
  ];
  const verdict = halves.every((side) => side.verdict === 'accept') ? 'accept' : 'drop';
  return { verdict, halves: halves.filter((side) => side.verdict === verdict), packets: joinedBoxes(boxes) };
}

/** Joins boxes that differ in the sender only, and then those that differ in the receiver only. */
function joinedBoxes(boxes: readonly Box[]): readonly PacketBox[] {
  const numbers = new Map<object, number>();
  const numberOf = (object: object): number => {
    const number = numbers.get(object) ?? numbers.size;
    numbers.set(object, number);
    return number;
  };
  const keyFor = (objects: readonly object[]): string => objects.map(numberOf).join();
  const toOne = grouped(boxes, ({ receiver, services }) => keyFor([receiver, ...services])).map(([box, ...more]) => ({
    senders: [box, ...more].map(({ sender }) => sender),
    receiver: box.receiver,
    services: box.services,
  }));
  return grouped(toOne, ({ senders, services }) => `${keyFor(senders)} ${keyFor(services)}`).map(([box, ...more]) => ({
    from: union(box.senders.flatMap(({ addresses }) => addresses)),
    to: union([box, ...more].flatMap(({ receiver }) => receiver.addresses)),
    services: joined(box.services.map(({ set }) => set)),
  }));
}

function grouped<T>(items: readonly T[], keyFor: (item: T) => string): readonly (readonly [T, ...T[]])[] {
  const groups = new Map<string, [T, ...T[]]>();
  for (const item of items) {
    const key = keyFor(item);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  }
  return [...groups.values()];
}

function rulesOf(
  context: JudgeContext,
  ends: Ends,
  direction: Direction,
  family: Family,
): readonly SecurityGroupRule[] {
  const ports = portsOfEnds(context.topology, ends);
  const groups = new Set(ports.flatMap((port) => groupsOf(context, port)));
  return [...groups].flatMap(({ rules }) =>
    rules.filter((rule) => rule.direction === direction && rule.family === family),
  );
}

/** Addresses that rules name as the other end, by {@link remoteKey}. */
type Remotes = ReadonlyMap<string, Ranges>;

function remoteKey({ kind, id }: { readonly kind: string; readonly id: string }): string {
  return `${kind} ${id}`;
}

function keyOfRemote(remote: Remote): string | undefined {
  switch (remote.kind) {
    case 'any':
    case 'unknown':
      return undefined;
    case 'prefix':
      return remoteKey({ kind: remote.kind, id: remote.prefix.text });
    case 'security-group':
    case 'address-group':
      return remoteKey(remote);
  }
}

function remotesOf(context: JudgeContext, family: Family, rules: readonly SecurityGroupRule[]): Remotes {
  const remotes = new Map<string, Ranges>();
  for (const { remote } of rules) {
    const key = keyOfRemote(remote);
    if (key === undefined || remotes.has(key)) continue;
    const prefixes = prefixesOf(context, remote, family).filter((prefix) => prefix.family === family);
    remotes.set(key, union(prefixes.map(rangeOf)));
  }
  return remotes;
}

function prefixesOf(context: JudgeContext, remote: Remote, family: Family): readonly Prefix[] {
  switch (remote.kind) {
    case 'any':
    case 'unknown':
      return [];
    case 'prefix':
      return [remote.prefix];
    case 'security-group':
      return members(context, remote.id, family);
    case 'address-group':
      return context.topology.addressGroups.get(remote.id)?.prefixes ?? [];
  }
}

function conditionsOf(remotes: Remotes, rules: readonly SecurityGroupRule[]): readonly Ranges[] {
  const keys = new Set(rules.map(({ remote }) => keyOfRemote(remote)).filter((key) => key !== undefined));
  return [...keys].map((key) => remotes.get(key) ?? []);
}

/** The walk over all ports is made once for a group, not for each packet. */
function memberTest(remotes: Remotes): NonNullable<JudgeContext['isMember']> {
  return (kind, id, address) => {
    const ranges = remotes.get(remoteKey({ kind, id }));
    return ranges === undefined ? undefined : holds(ranges, address.network);
  };
}
