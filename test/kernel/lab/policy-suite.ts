/** Random packets through the loaded rules of random topologies: the kernel's verdict is the oracle's. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import {
  besideIptables,
  DEFAULT_OPTIONS,
  hostPolicy,
  iptablesProgram,
  isBridged,
  planIptables,
  planTransaction,
  printTransaction,
  stateOf,
  type Datapath,
  type HostPolicy,
  type IptablesProgram,
  type Table,
} from '../../../compiler/index.js';
import { judgeEgress, judgeIngress, type JudgeContext } from '../../../compiler/semantics/index.js';
import { type FlowState, type Frame, type IpPacket, type Port, type Topology } from '../../../compiler/model/index.js';
import { arbitraryDocument, arbitraryFrame, frameOf } from '../../support/arbitrary-topology.js';
import { samples, seed, take } from '../../support/seed.js';
import type { LabBackend } from './flavour.js';
import { Lab, UPLINK, type LabPort, type Shot } from './lab.js';
import {
  ADDRESSES,
  BRIDGE,
  contextOf,
  isHere,
  labPorts,
  LOCAL,
  portOfDevice,
  topologyOf,
  UNKNOWN_DEVICE,
} from './random-lab.js';

const UDPLITE = 136;

/**
 * What connection tracking will say of a first packet: types of ICMP that open no flow are invalid to it, and so is each
 * family's ICMP in the other (nf_conntrack_proto_icmp.c, nf_conntrack_proto_icmpv6.c).
 */
function firstState({ source, transport }: IpPacket): FlowState {
  if (transport.kind === 'other') {
    return transport.protocol === (source.family === 'IPv4' ? 58 : 1) ? 'invalid' : 'new';
  }
  // Whose checksum Linux takes for UDP's: see docs/decisions/connection-tracking.md.
  if (transport.protocol === UDPLITE) return 'invalid';
  if (transport.kind !== 'icmp') return 'new';
  const opens = transport.protocol === 1 ? [8, 13, 15, 17] : [128];
  return opens.includes(transport.type) ? 'new' : 'invalid';
}

/** Each frame a flow of its own: the source port counts up where it means nothing to the policy. */
function unrelated(frame: Frame, number: number): Frame {
  const { payload } = frame;
  if (payload.kind !== 'ip' || payload.transport.kind !== 'ports') return frame;
  const { transport } = payload;
  const isService = transport.protocol === 17 && [67, 68, 546, 547].includes(transport.sourcePort);
  const sourcePort = isService ? transport.sourcePort : 20_000 + number;
  return { ...frame, payload: { ...payload, transport: { ...transport, sourcePort } } };
}

/**
 * Leaves out packets without ports that another one of the batch has the addresses of, either way round: what passes
 * first would make the other a reply.
 */
function withoutReplies(shots: readonly Shot[]): readonly Shot[] {
  const seen = new Set<string>();
  return shots.filter(({ frame: { payload } }) => {
    if (payload.kind !== 'ip' || hasTrackedPorts(payload)) return true;
    const ends = [payload.source.text, payload.destination.text].sort().join(' ');
    const key = `${ends} ${String(payload.transport.protocol)}`;
    const isFirst = !seen.has(key);
    seen.add(key);
    return isFirst;
  });
}

/** Newer kernels track DCCP by addresses alone: see docs/decisions/connection-tracking.md. */
function hasTrackedPorts({ transport }: IpPacket): boolean {
  return transport.kind === 'ports' && transport.protocol !== 33;
}

function sendsAsPort({ addressesOfPorts }: JudgeContext, { payload }: Frame): boolean {
  return payload.kind === 'ip' && addressesOfPorts?.has(payload.source.text) === true;
}

/** Each frame from a port, and one to a port from outside; no two of one flow. */
function shotsFor(topology: Topology, known: readonly LabPort[], random: readonly Frame[]): readonly Shot[] {
  const candidates = random.flatMap((frame, number): Shot[] => {
    const from = number % 7 === 6 ? UNKNOWN_DEVICE : (known[number % known.length]?.device ?? '');
    const port = portOfDevice(topology, from);
    const plain = number % 5 !== 0 && port !== undefined ? frameOf(port, frame) : frame;
    const outside = fromOutside(frame, number);
    return [
      { device: from, frame: unrelated(plain, number) },
      ...(outside === undefined ? [] : [{ device: undefined, frame: outside }]),
    ];
  });
  return withoutReplies(candidates);
}

/** Seeds that need more policies than this to tell anything are a fault. */
const MOST_ROUNDS = 100;

interface Size {
  readonly topologies: number;
  /** For each topology; those from outside come on top. */
  readonly frames: number;
}

export function policySuite(datapath: Datapath, { topologies, frames }: Size, backend: LabBackend = 'nftables'): void {
  const members = labPorts(datapath);
  const known = members.slice(0, -1);
  let lab: Lab;
  beforeAll(async () => {
    lab = await Lab.create(members, { backend, ...(isBridged(datapath) ? { bridge: BRIDGE } : {}) });
  });
  afterAll(async () => {
    await lab.destroy();
  });

  it(`get the verdict of the oracle (${datapath}, ${backend})`, async () => {
    const counts = { accept: 0, drop: 0 };
    const documents = samples(arbitraryDocument());
    const frameSource = samples(arbitraryFrame());
    // Enough of both, or the test says nothing: some seeds need more policies than others.
    const isEnough = (): boolean => Math.min(counts.accept, counts.drop) > (topologies * frames) / 40;
    for (let round = 0; round < topologies || !isEnough(); round++) {
      if (round > MOST_ROUNDS) throw new Error(`no packet tells policies apart: ${JSON.stringify(counts)}`);
      const topology = topologyOf(documents.next().value, datapath);
      const options = { ...DEFAULT_OPTIONS, datapath };
      await lab.loadPolicy(hostPolicy(topology, isHere, options), options);
      await lab.forgetFlows();
      const context = contextOf(topology, datapath);
      const portOf = (name: string): Port | undefined => portOfDevice(topology, name);
      const shots = shotsFor(topology, known, take(frameSource, frames));
      const hits = await lab.shoot(shots);
      shots.forEach((shot, number) => {
        const { frame } = shot;
        const hit = hits[number];
        if (hit === undefined) throw new Error('no result');
        const state = frame.payload.kind === 'ip' ? firstState(frame.payload) : 'new';
        const says = (judged: unknown): string => JSON.stringify({ seed, round, number, shot, judged }, bigints);
        const isJudged = isBridged(datapath) ? isTold(frame) : isSeen(frame);
        if (shot.device !== undefined && isJudged) {
          const judged = judgeEgress(context, portOf(shot.device), frame, state);
          counts[judged.verdict]++;
          expect(hit.passedEgress ? 'accept' : 'drop', says(judged)).toBe(judged.verdict);
        }
        // Whoever else sends from a port's address, where the host routes.
        if (shot.device === undefined && sendsAsPort(context, frame)) {
          counts.drop++;
          expect({ passed: hit.passedEgress, arrived: hit.arrived }, says('as a port')).toEqual({
            passed: false,
            arrived: [],
          });
        }
        // What is tagged, wrapped or foreign gets nowhere past a filter; a host that routes strips priority tags.
        const isForeign = isBridged(datapath)
          ? frame.vlanTags.length > 0 || frame.snap
          : frame.vlanTags.length === 0 && !isSeen(frame);
        if (shot.device !== undefined && isForeign) {
          const isUnfiltered = judgeEgress(context, portOf(shot.device), frame, state).verdict === 'accept';
          expect(hit.passedEgress, says('unseen')).toBe(false);
          const wrong = hit.arrived.filter(
            (to) =>
              !isUnfiltered || (to !== UPLINK && judgeIngress(context, portOf(to), frame, state).verdict === 'drop'),
          );
          expect(wrong, says('unseen')).toEqual([]);
        }
        if (!hit.passedEgress) return;
        for (const to of receivers(datapath, members, shot)) {
          const judged = judgeIngress(context, portOf(to), frame, state);
          counts[judged.verdict]++;
          // br_netfilter shows packets to table inet behind every hook of the bridge: the wire alone tells.
          if (backend === 'nftables' || datapath === 'routed') {
            expect(hit.passedIngress.includes(to) ? 'accept' : 'drop', says({ to, judged })).toBe(judged.verdict);
          }
          expect(hit.arrived.includes(to), says({ to, judged, where: 'on the wire' })).toBe(
            judged.verdict === 'accept',
          );
        }
      });
    }
    process.stdout.write(
      `verdicts of the kernel (${datapath}, ${backend}): ${String(counts.accept)} accepted, ${String(counts.drop)} dropped\n`,
    );
  });
}

interface World {
  readonly topology: Topology;
  readonly policy: HostPolicy;
  readonly program: IptablesProgram;
  readonly tables: readonly Table[];
}

/** In each instant of a change a packet gets through only if the policy before or the one after lets it. */
export function instantsSuite(datapath: Datapath, { topologies, frames }: Size, backend: LabBackend): void {
  const members = labPorts(datapath);
  let lab: Lab;
  beforeAll(async () => {
    lab = await Lab.create(members, { backend, ...(isBridged(datapath) ? { bridge: BRIDGE } : {}) });
  });
  afterAll(async () => {
    await lab.destroy();
  });

  it(`nothing passes between two policies that neither lets pass (${datapath}, ${backend})`, async () => {
    const options = { ...DEFAULT_OPTIONS, datapath };
    const counts = { instants: 0, passed: 0, onlyBefore: 0, onlyAfter: 0 };
    const documents = samples(arbitraryDocument());
    const frameSource = samples(arbitraryFrame());
    const nextWorld = (): World => {
      const topology = topologyOf(documents.next().value, datapath);
      const policy = hostPolicy(topology, isHere, options);
      return {
        topology,
        policy,
        program: iptablesProgram(policy, options),
        tables: besideIptables(policy, options),
      };
    };
    /** Whether a policy lets a packet through to a port. */
    const lets = ({ topology }: World, { device: from, frame }: Shot, to: string, state: FlowState): boolean => {
      const context = contextOf(topology, datapath);
      const out =
        from === undefined || judgeEgress(context, portOfDevice(topology, from), frame, state).verdict === 'accept';
      return out && judgeIngress(context, portOfDevice(topology, to), frame, state).verdict === 'accept';
    };
    let before = nextWorld();
    await lab.loadPolicy(before.policy, options);
    // Policies that differ in what they let pass, or the test says nothing: some seeds need more of them than others.
    const isEnough = (): boolean => counts.instants > topologies && Math.min(counts.onlyBefore, counts.onlyAfter) > 0;
    for (let round = 1; round <= topologies || !isEnough(); round++) {
      if (round > MOST_ROUNDS) throw new Error(`no packet tells policies apart: ${JSON.stringify(counts)}`);
      const after = nextWorld();
      const random = take(frameSource, frames);
      // As the agent does it: iptables step by step, then the tables that stand beside it.
      const steps = [
        ...planIptables(before.program, after.program).steps.map((step) => async () => lab.takeStep(step)),
        async () => lab.load(printTransaction(planTransaction(after.tables, before.tables.map(stateOf))) || '\n'),
      ];
      for (const [index, takeStep] of steps.entries()) {
        await takeStep();
        counts.instants++;
        await lab.forgetFlows();
        const shots = shotsFor(after.topology, members.slice(0, -1), random);
        const reached = await lab.reach(shots);
        for (const [number, shot] of shots.entries()) {
          const { payload, vlanTags, snap } = shot.frame;
          if (payload.kind !== 'ip' || vlanTags.length > 0 || snap) continue;
          const state = firstState(payload);
          for (const to of reached[number] ?? []) {
            if (to === UPLINK) continue;
            const [letBefore, letAfter] = [lets(before, shot, to, state), lets(after, shot, to, state)];
            counts.passed++;
            if (letBefore && !letAfter) counts.onlyBefore++;
            if (!letBefore && letAfter) counts.onlyAfter++;
            expect(letBefore || letAfter, JSON.stringify({ seed, round, index, shot, to }, bigints)).toBe(true);
          }
        }
      }
      before = after;
    }
    process.stdout.write(`between two policies (${datapath}, ${backend}): ${JSON.stringify(counts)}\n`);
  });
}

/** Devices that the host would bring the frame to, were there no rules. */
function receivers(datapath: Datapath, members: readonly LabPort[], { device: from, frame }: Shot): readonly string[] {
  const { payload } = frame;
  if (payload.kind !== 'ip' || frame.vlanTags.length > 0 || frame.snap) return [];
  const { text } = payload.destination;
  const others = members.filter((member) => member.device !== from);
  // A bridge floods what is for everybody; a router does not pass it on.
  if (isBridged(datapath) && /^(ff|22[4-9]\.|23\d\.|255\.)/.test(text)) return others.map((member) => member.device);
  if (datapath === 'routed' && !isForwarded(frame)) return [];
  return others.filter(({ addresses }) => addresses.includes(text)).map((member) => member.device);
}

/** Frames whose passing the bridge's probe tells of: ARP and untagged IP. */
function isTold({ payload, vlanTags, snap }: Frame): boolean {
  return vlanTags.length === 0 && !snap && (payload.kind === 'arp' || payload.kind === 'ip');
}

function bigints(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString() : value;
}

/** Frames that reach our hooks: the host's IPv6 drops multicast sources before them (ip6_input.c). */
function isSeen(frame: Frame): boolean {
  const { payload } = frame;
  if (frame.vlanTags.length > 0 || frame.snap) return false;
  return payload.kind === 'arp' || (payload.kind === 'ip' && !payload.source.text.startsWith('ff'));
}

/** A packet from the outside to a port, made of a random one. */
function fromOutside(frame: Frame, number: number): Frame | undefined {
  const { payload } = frame;
  if (payload.kind !== 'ip') return undefined;
  const { family } = payload.source;
  const targets = [...LOCAL.flatMap((local) => ADDRESSES[local] ?? []), '10.0.0.66', 'fd00::66'].filter(
    (text) => text.includes(':') === (family === 'IPv6'),
  );
  const text = targets[number % targets.length] ?? '';
  const destination = { ...payload.destination, text, network: addressNumber(text) };
  return unrelated(
    { ...frame, sourceMac: '02:00:00:00:02:00', vlanTags: [], snap: false, payload: { ...payload, destination } },
    number + 1000,
  );
}

function addressNumber(text: string): bigint {
  const parts = text.includes(':')
    ? [0xfd00n << 112n, BigInt(`0x${text.split('::')[1] ?? '0'}`)]
    : text.split('.').map((part, index) => BigInt(part) << BigInt(24 - 8 * index));
  return parts.reduce((sum, part) => sum + part, 0n);
}

/** Sources that the host's routing forwards: no unspecified, link-local or multicast ones, none of the host's. */
function isForwarded({ payload, vlanTags, snap }: Frame): boolean {
  if (payload.kind !== 'ip' || vlanTags.length > 0 || snap) return false;
  return !/^(0\.|255\.|224\.|::$|fe80|ff)/.test(payload.source.text);
}
