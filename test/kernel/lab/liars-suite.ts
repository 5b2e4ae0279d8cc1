/**
 * Random policies beside senders that lie. A lie is a packet with a port's address as its source, from the link, an unknown device or
 * another port. Whatever entry of connection tracking it leaves, a packet to or from the one whose address it was is judged by the rules of
 * both ends, as if nobody had lied.
 */
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { DEFAULT_OPTIONS, hostPolicy, isBridged, type Datapath } from '../../../compiler/index.js';
import { judgeEgress, judgeIngress } from '../../../compiler/semantics/index.js';
import type { Frame, Topology } from '../../../compiler/model/index.js';
import { arbitraryDocument } from '../../support/arbitrary-topology.js';
import { samples, seed, take } from '../../support/seed.js';
import type { LabBackend } from './flavour.js';
import { Lab, UPLINK, type LabPort, type Shot } from './lab.js';
import { ipFrame, ports } from './pair.js';
import { BRIDGE, contextOf, isHere, labPorts, portOfDevice, topologyOf } from './random-lab.js';

/** Seeds that need more policies than this to tell anything are a fault. */
const MOST_ROUNDS = 100;
/** Lies for each policy. */
const LIES = 40;
const OUTSIDE: LabPort = { device: UPLINK, addresses: ['192.0.2.9', '2001:db8::9'], mac: '02:00:00:00:02:00' };

/** Numbers that say who lies to whom about what. */
const arbitraryDraw = fc.record({
  liar: fc.nat(),
  victim: fc.nat(),
  other: fc.nat(),
  isIpv6: fc.boolean(),
  protocol: fc.constantFrom(6 as const, 17 as const, 17 as const),
  port: fc.constantFrom(22, 53, 80, 443, 1000, 8080),
});
type Draw = typeof arbitraryDraw extends fc.Arbitrary<infer T> ? T : never;

interface Lie {
  /** From the liar, with the victim's address. */
  readonly lie: Shot;
  /** From whom it was for, to the victim. */
  readonly answer: Shot;
  /** What the lie pretended to be, from the victim itself. */
  readonly truth: Shot;
  readonly victim: string;
  readonly other: string;
}

/** @returns undefined where nobody has addresses of the family. */
function lieOf(members: readonly LabPort[], draw: Draw, number: number): Lie | undefined {
  const { isIpv6, protocol, port } = draw;
  const addressOf = ({ addresses }: LabPort): string | undefined =>
    addresses.find((text) => text.includes(':') === isIpv6);
  const pick = (from: readonly LabPort[], index: number): LabPort | undefined => from[index % from.length];
  const everybody = [...members, OUTSIDE];
  const victim = pick(
    members.filter((one) => addressOf(one) !== undefined),
    draw.victim,
  );
  const others = everybody.filter((one) => one !== victim);
  const other = pick(
    others.filter((one) => addressOf(one) !== undefined),
    draw.other,
  );
  const liar = pick(others, draw.liar);
  if (victim === undefined || other === undefined || liar === undefined) return undefined;
  const [source, destination] = [addressOf(victim) ?? '', addressOf(other) ?? ''];
  const own = 30_000 + number;
  const forth = ports(protocol, own, port);
  const shot = ({ device }: LabPort, frame: Frame): Shot => ({
    device: device === UPLINK ? undefined : device,
    frame,
  });
  return {
    lie: shot(liar, ipFrame(liar.mac ?? '', source, destination, forth)),
    answer: shot(other, ipFrame(other.mac ?? '', destination, source, ports(protocol, port, own))),
    truth: shot(victim, ipFrame(victim.mac ?? '', source, destination, forth)),
    victim: victim.device,
    other: other.device,
  };
}

export function liarsSuite(datapath: Datapath, topologies: number, backend: LabBackend = 'nftables'): void {
  const everybody = labPorts(datapath);
  // The last one is no port's.
  const members = everybody.slice(0, -1);
  let lab: Lab;
  beforeAll(async () => {
    lab = await Lab.create(everybody, { backend, ...(isBridged(datapath) ? { bridge: BRIDGE } : {}) });
  });
  afterAll(async () => {
    await lab.destroy();
  });

  it(`whoever lies about a source, its ends' rules decide (${datapath}, ${backend})`, async () => {
    const counts = { lies: 0, believed: 0, passed: 0, refused: 0 };
    const documents = samples(arbitraryDocument());
    const draws = samples(arbitraryDraw);
    // Lies that reached somebody, answers that the rules let pass and answers that they do not: or the test says nothing.
    const isEnough = (): boolean => Math.min(counts.believed, counts.passed, counts.refused) > topologies;
    for (let round = 0; round < topologies || !isEnough(); round++) {
      if (round > MOST_ROUNDS) throw new Error(`no lie tells anything: ${JSON.stringify(counts)}`);
      const topology = topologyOf(documents.next().value, datapath);
      const options = { ...DEFAULT_OPTIONS, datapath };
      await lab.loadPolicy(hostPolicy(topology, isHere, options), options);
      await lab.forgetFlows();
      const judge = judgeOf(topology, datapath);
      // A pair in the same network makes its holder an owner of the address as well: no liar.
      const isOwner = ({ device, frame }: Shot): boolean => {
        const port = device === undefined ? undefined : portOfDevice(topology, device);
        if (port?.filtering !== 'filtered') return false;
        return judgeEgress(contextOf(topology, datapath), port, frame, 'new').verdict === 'accept';
      };
      const lies = take(draws, LIES)
        .flatMap((draw, number) => lieOf(members, draw, number) ?? [])
        .filter(({ lie }) => !isOwner(lie));
      // The liars are first, all of them; then those whom they spoke to; then the truth.
      const lied = await lab.reach(lies.map(({ lie }) => lie));
      const answered = await lab.reach(lies.map(({ answer }) => answer));
      const told = await lab.reach(lies.map(({ truth }) => truth));
      for (const [number, { lie, answer, truth, victim, other }] of lies.entries()) {
        const says = (what: string): string => JSON.stringify({ seed, round, number, what, lie, answer }, bigints);
        const wasBelieved = lied[number]?.includes(other) === true;
        const [isAllowed, arrived] = [judge(answer, victim), answered[number]?.includes(victim) === true];
        counts.lies++;
        if (wasBelieved) counts.believed++;
        if (arrived) counts.passed++;
        else counts.refused++;
        // Whoever took the lie in may answer; the one whose address it was never asked.
        const mayBeAnswer = wasBelieved && judge(answer, victim, 'established');
        if (arrived) expect(isAllowed || mayBeAnswer, says('the answer passed')).toBe(true);
        else expect(isAllowed, says('the answer was lost')).toBe(false);
        // Nobody's lie costs the owner of an address anything.
        if (judge(truth, other)) expect(told[number], says('the truth was lost')).toContain(other);
        else if (!arrived) expect(told[number], says('the truth passed')).not.toContain(other);
      }
    }
    process.stdout.write(`liars (${datapath}, ${backend}): ${JSON.stringify(counts)}\n`);
  });
}

/** Whether a first packet passes both ends; its sender's rules are asked with a state of their own. */
function judgeOf(
  topology: Topology,
  datapath: Datapath,
): (shot: Shot, to: string, atSender?: 'new' | 'established') => boolean {
  const context = contextOf(topology, datapath);
  return ({ device, frame }, to, atSender = 'new') => {
    const leaves =
      device === undefined ||
      judgeEgress(context, portOfDevice(topology, device), frame, atSender).verdict === 'accept';
    const enters =
      to === UPLINK || judgeIngress(context, portOfDevice(topology, to), frame, 'new').verdict === 'accept';
    return leaves && enters;
  };
}

function bigints(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString() : value;
}
