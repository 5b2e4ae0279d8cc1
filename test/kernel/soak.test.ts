/**
 * Hours in short: random changes under traffic, deaths under traffic, revoked flows under deaths, and memory. For how long is
 * PORTCULLIS_SOAK_SECONDS; `npm run soak -- --seconds N` sets it.
 *
 * What is forbidden and what is allowed is decided by what the kernel was seen to hold (lab/referee.ts), never by a clock.
 */
import { setTimeout } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { seed } from '../support/seed.js';
import { labBackend } from './lab/flavour.js';
import { FOREIGNERS } from './lab/foreigners.js';
import { allow, EGRESS, HOST, portFields, type Rule } from './lab/pair.js';
import { progressing } from '../support/waiting.js';
import { APART, OPEN_PORT, randomFrom, RandomPolicy, TOGGLED_PORTS } from './lab/random-policy.js';
import type { Finding, Referee } from './lab/referee.js';
import { GUESTS, now, SoakLab } from './lab/soak-lab.js';
import { kindOf, type Flow } from './lab/sprayers.js';

const SECONDS = Number(process.env['PORTCULLIS_SOAK_SECONDS'] ?? 16);
/** `nftables`, `iptables-nft` or `iptables-legacy`. */
const BACKEND = labBackend(process.env['PORTCULLIS_SOAK_BACKEND'] ?? 'nftables');
/** In milliseconds. */
const CHANGE_EVERY = 20;
/** With iptables there is none for a while after as many changes: only while one version alone is in force something is lost for sure. */
const REST_AFTER = 50;
const REST = 300;
const JUDGE_EVERY = 500;
const KILL_EVERY = 500;
const KILLS_AT_LEAST = 5;
const TOLD = 3;

let lab: SoakLab;
beforeEach(() => {
  lab = new SoakLab(BACKEND);
});
afterEach(async () => {
  await lab.destroy();
});

/** What the first ones met; the others are counted. */
function told(findings: readonly Finding[]): readonly string[] {
  const first = findings.slice(0, TOLD).map((finding) => lab.tell(finding));
  return findings.length > TOLD ? [...first, `and ${findings.length - TOLD} more`] : first;
}

/** What was lost in full buffers is excused, datagram for datagram. */
function expectRight({ passed, relapses, lost }: Referee): void {
  expect(told(passed)).toEqual([]);
  expect(relapses).toEqual([]);
  expect(told(lost.slice(lab.drops))).toEqual([]);
}

/** Everything of the steady streams that came to the host left it, and numbers that are missing were lost elsewhere. */
async function expectSteady(): Promise<void> {
  // The least difference counts: a packet may be on its way just then, and one that was lost stays lost.
  let least = Infinity;
  await progressing(
    () => 'what came in of the steady streams to go out',
    () => {
      const { into, out } = lab.steady();
      least = Math.min(least, into - out);
      return least === 0;
    },
    () => `${least.toString()} packets that did not`,
  );
  let received: readonly number[] = [];
  await progressing(
    () => 'a hundred packets of each steady stream',
    async () => {
      const ends = [...(await lab.streams.report()).values()].flatMap(({ forth, back }) => [forth, back]);
      received = ends.map((end) => end.received);
      return received.every((count) => count > 100);
    },
    () => received,
  );
  await lab.judge();
  const lost = [...(await lab.streams.report()).values()].map(({ forth, back }) => forth.lost + back.lost);
  expect(lost.reduce((sum, count) => sum + count, 0)).toBeLessThanOrEqual(lab.drops);
}

/** Calls again and again until it is over. */
async function each(milliseconds: number, isOver: () => boolean, act: () => Promise<void> | void): Promise<void> {
  while (!isOver()) {
    const next = now() + milliseconds;
    await act();
    await setTimeout(Math.max(0, next - now()));
  }
}

/** Changes the policy every 20 ms and judges meanwhile, until it was long enough and enough was judged. */
async function soak(
  meanwhile: (isOver: () => boolean) => Promise<void> = () => Promise.resolve(),
  isEnough: () => boolean = () => true,
  { isSteady = true, ports = APART }: { readonly isSteady?: boolean; readonly ports?: readonly number[] } = {},
): Promise<void> {
  const policy = new RandomPolicy(GUESTS, randomFrom(seed), ports);
  await lab.begin(policy.document());
  await lab.beginTraffic();
  const { referee } = lab;
  if (ports !== APART) referee.rangePorts = ports;
  const seconds = SECONDS / 2;
  const end = now() + 1000 * seconds;
  let isFailed = false;
  const enough = (): readonly number[] =>
    [BACKEND === 'nftables' ? Infinity : referee.alone, referee.toggled.allowed, referee.toggled.forbidden].map(
      (count) => Math.min(count, seconds),
    );
  const isOver = (): boolean => isFailed || (now() > end && isEnough() && enough().every((count) => count >= seconds));
  const parts = [
    each(CHANGE_EVERY, isOver, async () => {
      policy.change();
      lab.write(policy.document());
      if (BACKEND === 'nftables' || lab.version % REST_AFTER > 0) return;
      await lab.untilHeld();
      await setTimeout(REST);
    }),
    each(JUDGE_EVERY, isOver, () => lab.judge()),
    meanwhile(isOver),
    progressing(
      () => `verdicts and versions in the kernel (the agent said last: ${lab.lastWords()})`,
      isOver,
      () => [referee.held, enough()],
    ),
  ].map((part) =>
    part.catch((error: unknown) => {
      isFailed = true;
      throw error;
    }),
  );
  const results = await Promise.allSettled(parts);
  for (const result of results) if (result.status === 'rejected') throw result.reason;
  await lab.judgeAll(policy.document());
  const { judged, toggled, alone, lost, passed, longestWait } = referee;
  const found = {
    alone,
    lost: lost.length,
    passed: passed.length,
    drops: lab.drops,
    longestUntilHeld: Math.round(longestWait),
  };
  process.stdout.write(
    `soak: ${lab.version.toString()} versions, ${JSON.stringify({ judged, ofPortsThatChange: toggled, ...found })}\n`,
  );
  expectRight(referee);
  await lab.agent.until(({ enforced }) => enforced);
  if (isSteady) await expectSteady();
  expect(await lab.diff()).toEqual([0, expect.anything()]);
}

it('a change every 20 ms under traffic: nothing is lost, nothing gets through', async () => {
  await soak();
});

it('killed again and again under traffic and changes: no verdict changes, no stream notices', async () => {
  const random = randomFrom(seed + 1);
  const { agent, referee, how } = lab;
  let kills = 0;
  await soak(
    (isOver) =>
      each(KILL_EVERY, isOver, async () => {
        // At any instant; or right behind a transaction, before anything that follows from it is done.
        const { held } = referee;
        if (random(2) === 0) await setTimeout(random(60));
        else {
          await progressing(
            () => `a transaction (the agent said last: ${lab.lastWords()})`,
            () => referee.held !== held || isOver(),
            () => referee.held,
          );
        }
        await agent.end('SIGKILL');
        kills++;
        agent.start(how);
        // Sometimes it dies before it has begun.
        if (random(4) > 0) await agent.until(({ lastTransaction }) => lastTransaction !== undefined);
      }),
    () => kills >= KILLS_AT_LEAST,
    { ports: TOGGLED_PORTS },
  );
  process.stdout.write(`soak: killed ${kills.toString()} times\n`);
});

/** Between one thing that others do and the next; in milliseconds. */
const PEACE = 300;

// With iptables a foreign change is looked for once in a while, and its rules are told of by no notice of a version.
it.skipIf(BACKEND !== 'nftables')(
  'others flush, open, hang and lie under traffic and changes: nothing gets through but what they opened, until that is closed',
  async () => {
    const random = randomFrom(seed + 4);
    const { referee } = lab;
    lab.throughNft();
    let done = 0;
    await soak(
      async (isOver) => {
        while (!isOver()) {
          // Each once, in an order that is drawn; and again.
          const order = FOREIGNERS.map((one) => ({ one, rank: random(1 << 30) })).sort((a, b) => a.rank - b.rank);
          for (const { one } of order) {
            if (isOver()) return;
            await lab.suffer(one);
            done++;
            await setTimeout(PEACE);
          }
        }
      },
      () => done >= FOREIGNERS.length,
      { isSteady: false },
    );
    const openings = Object.fromEntries(referee.disturbances.openings());
    process.stdout.write(`soak: others did ${done.toString()} things; open for, in ms: ${JSON.stringify(openings)}\n`);
    expect(Object.keys(openings).sort()).toEqual(
      FOREIGNERS.flatMap(({ name, opens }) => (opens === undefined ? [] : [name])).sort(),
    );
  },
);

const FLOW: Flow | undefined =
  GUESTS[0] !== undefined && GUESTS[1] !== undefined
    ? { from: GUESTS[0], to: GUESTS[1], family: 'v4', port: 5000 }
    : undefined;
/** For each time that an agent has to die before its sweep. */
const DRAWS = 20;
/** Their flows are known to connection tracking. */
const FLOW_PORTS = [...Array(40).keys()].map((n) => 10_000 + n);

function flowDocument(isAllowed: boolean): Rule {
  const rules = [...EGRESS, allow('udp', OPEN_PORT), ...(isAllowed ? [allow('udp', 5000)] : [])];
  return {
    security_groups: [{ id: 'all', name: 'all', security_group_rules: rules }],
    ports: GUESTS.map((guest) => portFields(guest, ['all'], { 'binding:host_id': HOST })),
  };
}

/** Sends a datagram of each flow, and says which arrived: a later one, always allowed, came through the same queues. */
async function arrivals(flow: Flow): Promise<number> {
  await lab.sprayers.send(flow, FLOW_PORTS);
  const milestone = { ...flow, port: OPEN_PORT };
  let count = 0;
  let isThere = false;
  let tries = 0;
  const drain = async (): Promise<void> => {
    const { received } = await lab.sprayers.drain();
    count += received.filter(({ kind }) => kind === kindOf(flow)).length;
    isThere ||= received.some(({ kind }) => kind === kindOf(milestone));
  };
  await progressing(
    () => 'a datagram that is always allowed',
    async () => {
      await lab.sprayers.send(milestone, [20_000 + (tries++ % 1000)]);
      await drain();
      return isThere;
    },
    () => count,
  );
  await drain();
  return count;
}

it('a flow that was admitted before is cut when it is revoked, though agents die between the transaction and the sweep, and goes on when it is allowed again', async () => {
  if (FLOW === undefined) throw new Error('too few guests');
  const flow = FLOW;
  const { agent, how } = lab;
  const random = randomFrom(seed + 3);
  await lab.begin(flowDocument(true));
  lab.keepFlows();
  await lab.sprayers.answer([flow.port]);
  const whole = FLOW_PORTS.length;
  let outlived = 0;
  const rounds = Math.max(2, Math.round(SECONDS / 12));
  // Whether a sweep of the start falls in between is the agent's affair: drawn until none did, often enough.
  let built = 0;
  for (let round = 0; built < rounds && round < DRAWS * rounds; round++) {
    await lab.untilHeld(lab.write(flowDocument(true)));
    await progressing(
      () => `${whole.toString()} flows to arrive (the agent said last: ${lab.lastWords()})`,
      async () => (await arrivals(flow)) === whole,
      () => lab.flows(flow.port).revoked.length,
    );
    // Whoever revokes it dies before the sweep: its nft has committed, and has not ended yet.
    await agent.end('SIGKILL');
    await agent.run(lab.hesitant());
    await setTimeout(random(1500));
    await lab.untilHeld(lab.write(flowDocument(false)));
    await agent.end('SIGKILL');
    const isBuilt = lab.flows(flow.port).live.length === whole;
    if (isBuilt) built++;
    // Several that come after it die early, too.
    for (let death = random(3); death > 0; death--) {
      agent.start(how);
      await setTimeout(random(300));
      await agent.end('SIGKILL');
    }
    const early = await arrivals(flow);
    if (isBuilt) outlived += early;
    agent.start(how);
    await progressing(
      () => `the mark on every revoked flow (the agent said last: ${lab.lastWords()})`,
      () => lab.flows(flow.port).live.length === 0,
      () => lab.flows(flow.port).live,
    );
    expect(await arrivals(flow)).toBe(0);
    await agent.end('SIGKILL');
    expect(await arrivals(flow)).toBe(0);
    await agent.run(how);
    expect(await arrivals(flow)).toBe(0);
  }
  expect(built).toBe(rounds);
  process.stdout.write(
    `soak: ${built.toString()} times ${whole.toString()} flows revoked; of as many datagrams ${outlived.toString()} passed while no agent had looked at the flows yet\n`,
  );
});

/** Hundreds of changes say when garbage was last collected, and nothing of memory: that is asked of the long form alone. */
const IS_LONG = SECONDS >= 600;
const [FIRST, CHANGES] = IS_LONG ? [1000, 10_000] : [50, 50];

it(`1 000 ports, ${CHANGES} changes: the kernel holds what is wanted${IS_LONG ? ', and memory does not grow' : ''}`, async () => {
  const random = randomFrom(seed + 2);
  const groups = [...Array(50).keys()].map((group) => ({
    id: `group-${group}`,
    name: `group-${group}`,
    security_group_rules: [
      ...EGRESS,
      allow('tcp', 1000 + group, { remote_group_id: `group-${(group + 1) % 50}` }),
      allow('udp', 2000 + group),
    ],
  }));
  const ports = [...Array(1000).keys()].map((n) => ({
    ...portFields(
      {
        device: `tap${n.toString().padStart(11, '0')}`,
        mac: `fa:16:3e:02:${(n >> 8).toString(16).padStart(2, '0')}:${(n & 255).toString(16).padStart(2, '0')}`,
        v4: `10.1.${n >> 8}.${n & 255}`,
        v6: `fd00:1::${n.toString(16)}`,
      },
      [`group-${n % 50}`],
    ),
    'binding:host_id': HOST,
  }));
  lab.agent.write({ security_groups: groups, ports });
  await lab.agent.run(lab.how);
  const early: number[] = [];
  const late: number[] = [];
  for (let change = 1; change <= CHANGES; change++) {
    const at = random(ports.length);
    const port = ports[at];
    const group = groups[random(groups.length)];
    if (port === undefined || group === undefined) throw new Error('out of range');
    if (random(4) > 0) ports[at] = { ...port, security_groups: [`group-${random(50)}`] } as typeof port;
    else group.security_group_rules = [...EGRESS, allow('udp', 1 + random(60_000))];
    await lab.agent.settled({ security_groups: groups, ports });
    if (change > FIRST / 2 && change <= FIRST) early.push(lab.agent.memory());
    if (change > CHANGES - FIRST / 2) late.push(lab.agent.memory());
  }
  if (IS_LONG) {
    // A single figure says when garbage was last collected: a leak lifts the lowest one above the former highest.
    const [settled, end] = [Math.max(...early), Math.min(...late)];
    process.stdout.write(
      `soak: ${CHANGES} changes at 1 000 ports: at most ${settled} KiB by the ${FIRST}th, at least ${end} KiB at the end\n`,
    );
    expect(end).toBeLessThan(settled * 1.1);
  }
  expect(await lab.diff()).toEqual([0, expect.anything()]);
});
