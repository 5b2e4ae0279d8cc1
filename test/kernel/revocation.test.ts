/** A permission that is revoked cuts live streams in both directions; one that is granted again lets them go on. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { patience } from '../support/patience.js';
import { CLIENT, EGRESS, HERE, OUTSIDE, portFields, type Rule, SERVER } from './lab/pair.js';
import { Streams, type Ends, type StreamPlan } from './lab/streams.js';
import { TestAgent } from './lab/test-agent.js';

/** Not managed: the rest of the world. */
const WORLD = { ...OUTSIDE, device: 'uplink0' };
const PROTOCOLS = ['tcp', 'udp'] as const;
const ETHERTYPES = ['IPv4', 'IPv6'] as const;

/** Rules for TCP and UDP, both families: for ports 1000 x n to 1000 x n + 999. */
function thousand(n: number, fields: Rule = {}, direction = 'ingress'): readonly Rule[] {
  return PROTOCOLS.flatMap((protocol) =>
    ETHERTYPES.map((ethertype) => ({
      direction,
      ethertype,
      protocol,
      port_range_min: 1000 * n,
      port_range_max: 1000 * n + 999,
      ...fields,
    })),
  );
}

interface Policy {
  readonly client?: Rule | null;
  readonly server?: Rule | null;
  /** Beside what the neighbours need. */
  readonly serverRules?: readonly Rule[];
  readonly serverEgress?: readonly Rule[];
  readonly more?: Rule;
}

/** Streams to port 6xxx of the server and 7xxx of the client are the neighbours: always allowed. */
function policy({ client = {}, server = {}, serverRules = [], serverEgress = EGRESS, more = {} }: Policy): Rule {
  const group = (id: string, rules: readonly Rule[]): Rule => ({ id, name: id, security_group_rules: rules });
  return {
    security_groups: [
      group('clients', [...EGRESS, ...thousand(7)]),
      group('servers', [...serverEgress, ...thousand(6), ...serverRules]),
      group('more', thousand(5)),
      group('members', []),
    ],
    address_groups: [{ id: 'friends', name: 'friends', addresses: [] }],
    ports: [
      ...(client === null ? [] : [portFields(CLIENT, ['clients'], { ...HERE, ...client })]),
      ...(server === null ? [] : [portFields(SERVER, ['servers'], { ...HERE, ...server })]),
    ],
    ...more,
  };
}

const friends = (...addresses: readonly string[]): Rule => ({
  address_groups: [{ id: 'friends', name: 'friends', addresses }],
});

/** Four streams: TCP and UDP, both families. */
function four(from: { device: string }, to: { device: string }, port: number): readonly StreamPlan[] {
  return PROTOCOLS.flatMap((protocol) =>
    (['v4', 'v6'] as const).map((family) => ({
      protocol,
      family,
      from: from.device,
      to: to.device,
      port: port + (family === 'v4' ? 4 : 6),
    })),
  );
}

interface Case {
  readonly what: string;
  readonly granted: Policy;
  readonly revoked: Policy;
  readonly cut: readonly StreamPlan[];
  readonly kept?: readonly StreamPlan[];
  readonly rounds?: number;
}

const toClient = four(WORLD, CLIENT, 7000);
const toServer = four(WORLD, SERVER, 6000);
const bothToServer = [...four(CLIENT, SERVER, 5000), ...four(WORLD, SERVER, 5010)];
const isV4 = ({ family }: StreamPlan): boolean => family === 'v4';

const CASES: readonly Case[] = [
  {
    what: 'a rule removed',
    granted: { serverRules: thousand(5) },
    revoked: {},
    cut: bothToServer,
    kept: [...toServer, ...toClient],
    rounds: 100,
  },
  {
    what: 'an egress rule removed, of the port that began the stream',
    granted: {},
    revoked: { serverEgress: [] },
    cut: [...four(SERVER, WORLD, 8000), ...four(SERVER, CLIENT, 7010)],
    kept: [...toServer, ...toClient],
  },
  {
    what: 'a group taken from a port',
    granted: { server: { security_groups: ['servers', 'more'] } },
    revoked: {},
    cut: bothToServer,
    kept: [...toServer, ...toClient],
  },
  {
    what: 'a member that leaves a remote group',
    granted: {
      serverRules: thousand(5, { remote_group_id: 'members' }),
      client: { security_groups: ['clients', 'members'] },
    },
    revoked: { serverRules: thousand(5, { remote_group_id: 'members' }) },
    cut: four(CLIENT, SERVER, 5000),
    kept: [...toServer, ...toClient, ...four(CLIENT, SERVER, 6010)],
  },
  {
    what: 'an address that leaves an address group',
    granted: {
      serverRules: thousand(5, { remote_address_group_id: 'friends' }),
      more: friends('192.0.2.0/24', '2001:db8::9/128'),
    },
    revoked: { serverRules: thousand(5, { remote_address_group_id: 'friends' }), more: friends('192.0.2.128/25') },
    cut: four(WORLD, SERVER, 5000),
    kept: [...toServer, ...toClient],
  },
  {
    what: 'a port removed',
    granted: { serverRules: thousand(5) },
    revoked: { serverRules: thousand(5), server: null },
    cut: [...bothToServer, ...toServer],
    kept: toClient,
  },
  {
    what: 'a port that is taken down',
    granted: { serverRules: thousand(5) },
    revoked: { serverRules: thousand(5), server: { admin_state_up: false } },
    cut: [...bothToServer, ...toServer],
    kept: toClient,
  },
  {
    what: 'an address removed: streams to the other one go on',
    granted: { serverRules: thousand(5) },
    revoked: { serverRules: thousand(5), server: { fixed_ips: [{ ip_address: SERVER.v6 }] } },
    cut: [...bothToServer, ...toServer].filter(isV4),
    kept: [...toClient, ...[...bothToServer, ...toServer].filter((plan) => !isV4(plan))],
  },
];

let streams: Streams;
let agent: TestAgent;
beforeAll(() => {
  streams = new Streams();
});
afterAll(() => {
  streams.destroy();
});
beforeEach(async () => {
  for (const guest of [CLIENT, SERVER, WORLD]) await streams.plug(guest);
  agent = new TestAgent(streams.host);
});
afterEach(async () => {
  await agent.destroy();
  streams.unplugAll();
});

const nameOf = ({ protocol, family, from, to, port }: StreamPlan): string =>
  [protocol, family, from, to, port].join(' ');

/** For as long streams may not do what they should; in milliseconds on a quiet machine. A TCP sender's own patience doubles. */
const SILENCE = 60_000;

/** Waits until each of the streams flows in both directions, or in none. */
async function until(plans: readonly StreamPlan[], flows: boolean): Promise<void> {
  const start = performance.now();
  for (;;) {
    const flowing = await streams.flowing();
    const wrong = plans.map(nameOf).filter((name) => {
      const ends = flowing.get(name);
      return ends?.forth !== flows || ends.back !== flows;
    });
    if (wrong.length === 0) return;
    if (performance.now() - start > patience(SILENCE)) {
      throw new Error(`${flows ? 'still cut' : 'still alive'}: ${wrong.join(', ')}`);
    }
  }
}

function expectUntouched(reports: ReadonlyMap<string, Ends>, plans: readonly StreamPlan[]): void {
  for (const plan of plans) {
    const ends = reports.get(nameOf(plan));
    expect([nameOf(plan), ends?.forth.lost, ends?.back.lost]).toEqual([nameOf(plan), 0, 0]);
  }
}

it.each(CASES.map((one) => [one.what, one] as const))('%s', async (_what, one) => {
  const { granted, revoked, cut, kept = [], rounds = 3 } = one;
  agent.write(policy(granted));
  await agent.run();
  for (const plan of [...kept, ...cut]) await streams.begin(plan);
  await until([...kept, ...cut], true);
  for (let round = 0; round < rounds; round++) {
    await agent.settled(policy(revoked));
    await until(cut, false);
    const before = await streams.report();
    await streams.flowing();
    const after = await streams.report();
    for (const name of cut.map(nameOf)) {
      const [was, is] = [before.get(name), after.get(name)];
      expect([name, is?.forth.received, is?.back.received]).toEqual([name, was?.forth.received, was?.back.received]);
      if (name.startsWith('udp')) {
        // Both ends go on sending into the cut.
        expect(is?.back.sent).toBeGreaterThan(was?.back.sent ?? Infinity);
        expect(is?.forth.sent).toBeGreaterThan(was?.forth.sent ?? Infinity);
      }
    }
    await agent.settled(policy(granted));
    await until([...kept, ...cut], true);
  }
  const reports = await streams.report();
  expectUntouched(reports, kept);
  for (const { from, to, port } of kept) {
    expect([port, streams.lostSegments(from, port), streams.lostSegments(to, port)]).toEqual([port, 0, 0]);
  }
  expect((await agent.status()).flows.revoked).toBeGreaterThanOrEqual(rounds * cut.length);
});
