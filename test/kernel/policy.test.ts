import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compile, DEFAULT_OPTIONS, printRuleset } from '../../compiler/index.js';
import { judgeEgress, judgeIngress } from '../../compiler/explain/index.js';
import { parseTopology, type FlowState, type Frame, type IpPacket, type Topology } from '../../src/model/index.js';
import { arbitraryDocument, arbitraryFrame, frameOf } from '../support/arbitrary-topology.js';
import { seed } from '../support/seed.js';
import { Lab, type Shot } from './lab/lab.js';

/** Ports of the random topologies that are on host-1, with addresses of their own each. */
const ADDRESSES: readonly (readonly string[])[] = [
  ['10.0.0.1', 'fd00::1'],
  ['10.0.0.2', 'fd00::2'],
  [],
  ['10.0.0.5'],
  ['fd00::5'],
];
const LOCAL = [0, 1, 3, 4];
const device = (number: number): string => `tap${String(number).padStart(8, '0')}-00`;
const UNKNOWN_DEVICE = 'tapunknown';

let lab: Lab;
beforeAll(async () => {
  lab = await Lab.create([
    ...LOCAL.map((number) => ({ device: device(number), addresses: ADDRESSES[number] ?? [] })),
    { device: UNKNOWN_DEVICE, addresses: ['10.0.0.66', 'fd00::66'] },
  ]);
});
afterAll(async () => {
  await lab.destroy();
});

function topologyOf(document: Record<string, unknown>): Topology {
  const ports = (document['ports'] as readonly Record<string, unknown>[]).map((port, number) => ({
    ...port,
    fixed_ips: (ADDRESSES[number] ?? ['10.1.0.1', 'fd01::1']).map((ip_address) => ({ ip_address })),
  }));
  return parseTopology([{ file: 'random', content: { ...document, ports } }]).topology;
}

/**
 * What connection tracking will say of a first packet: types of ICMP that open no flow are invalid to it, and so is each
 * family's ICMP in the other (nf_conntrack_proto_icmp.c, nf_conntrack_proto_icmpv6.c).
 */
function firstState({ source, transport }: IpPacket): FlowState {
  if (transport.kind === 'other') {
    return transport.protocol === (source.family === 'IPv4' ? 58 : 1) ? 'invalid' : 'new';
  }
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

const TOPOLOGIES = 12;
const FRAMES = 240;

describe('real packets through the loaded rules', () => {
  it('get the verdict of the oracle, at least 2 000 of them', async () => {
    const documents = fc.sample(arbitraryDocument(), { seed, numRuns: TOPOLOGIES });
    const random = fc.sample(arbitraryFrame(), { seed: seed + 1, numRuns: TOPOLOGIES * FRAMES });
    const counts = { accept: 0, drop: 0 };
    for (const [round, document] of documents.entries()) {
      const topology = topologyOf(document);
      const { ruleset } = compile(topology, (port) => port.host === 'host-1', DEFAULT_OPTIONS);
      await lab.load(printRuleset(ruleset));
      await lab.forgetFlows();
      const context = { topology, widestPairLength: DEFAULT_OPTIONS.widestPairLength };
      const portOf = (name: string): ReturnType<typeof topology.ports.get> =>
        [...topology.ports.values()].find((port) => port.host === 'host-1' && port.device === name);
      const candidates = random.slice(round * FRAMES, (round + 1) * FRAMES).flatMap((frame, number): Shot[] => {
        const from = number % 7 === 6 ? UNKNOWN_DEVICE : device(LOCAL[number % LOCAL.length] ?? 0);
        const port = portOf(from);
        const plain = number % 5 !== 0 && port !== undefined ? frameOf(port, frame) : frame;
        const sent = unrelated(plain, number);
        const outside = fromOutside(frame, number);
        return [
          { device: from, frame: sent },
          ...(outside === undefined ? [] : [{ device: undefined, frame: outside }]),
        ];
      });
      const shots = withoutReplies(candidates);
      const hits = await lab.shoot(shots);
      shots.forEach((shot, number) => {
        const { frame } = shot;
        const hit = hits[number];
        if (hit === undefined) throw new Error('no result');
        const state = frame.payload.kind === 'ip' ? firstState(frame.payload) : 'new';
        const says = (verdict: string): string => JSON.stringify({ seed, round, number, shot, verdict }, bigints);
        // A host that routes never sees a tagged, wrapped or foreign frame: priority tags apart, which it strips.
        if (shot.device !== undefined && isSeen(frame)) {
          const { verdict } = judgeEgress(context, portOf(shot.device), frame, state);
          counts[verdict]++;
          expect(hit.passedEgress ? 'accept' : 'drop', says(verdict)).toBe(verdict);
        }
        if (shot.device !== undefined && frame.vlanTags.length === 0 && !isSeen(frame)) {
          expect([hit.passedEgress, hit.arrived], says('unseen')).toEqual([false, []]);
        }
        const destination = frame.payload.kind === 'ip' ? frame.payload.destination.text : '';
        const to = [...LOCAL, 66].find((candidate) =>
          (candidate === 66 ? ['10.0.0.66', 'fd00::66'] : (ADDRESSES[candidate] ?? [])).includes(destination),
        );
        if (to !== undefined && isForwarded(frame) && hit.passedEgress) {
          const toDevice = to === 66 ? UNKNOWN_DEVICE : device(to);
          if (toDevice === shot.device) return;
          const { verdict } = judgeIngress(context, portOf(toDevice), frame, state);
          counts[verdict]++;
          expect(hit.passedIngress.includes(toDevice) ? 'accept' : 'drop', says(verdict)).toBe(verdict);
          expect(hit.arrived.includes(toDevice), says(`${verdict} on the wire`)).toBe(verdict === 'accept');
        }
      });
    }
    expect(counts.accept + counts.drop).toBeGreaterThanOrEqual(2000);
    expect(Math.min(counts.accept, counts.drop)).toBeGreaterThan(200);
    process.stdout.write(`verdicts of the kernel: ${String(counts.accept)} accepted, ${String(counts.drop)} dropped\n`);
  });
});

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
