/**
 * Three members of etcd, two processes of the API, three agents and their kernels, under 20 changes a second and traffic: what is
 * acknowledged is there, what is allowed is never lost, what is forbidden never passes, and everybody is right again at once when a
 * fault is over. The long form: `npm run faults`.
 */
import { onTestFinished, expect, it } from 'vitest';
import { patience } from '../support/patience.js';
import { seed } from '../support/seed.js';
import { progressing } from '../support/waiting.js';
import { randomFrom } from '../kernel/lab/random-policy.js';
import { ApiClients, askOne } from './lab/api-clients.js';
import { ChangingPolicy } from './lab/changing-policy.js';
import { FaultedCloud, type FaultedHost } from './lab/faulted-cloud.js';
import { faults } from './lab/faults.js';

const ROUNDS = Number(process.env['PORTCULLIS_FAULT_ROUNDS'] ?? 1);
/** How long a host is partitioned; in milliseconds. */
const PARTITION = Number(process.env['PORTCULLIS_FAULT_PARTITION'] ?? 10) * 1000;
/** Each kernel holds what the store does so long after the last fault; in milliseconds, on a quiet machine. */
const SOON = 2000;
/** What a change takes on a quiet machine, from the question to every kernel: where it takes longer now, so may everything; in milliseconds. */
const QUIET = 350;

async function begun(random: (below: number) => number): Promise<{
  readonly cloud: FaultedCloud;
  readonly policy: ChangingPolicy;
  readonly clients: ApiClients;
}> {
  const cloud = new FaultedCloud();
  onTestFinished(async () => cloud.end());
  await cloud.begin();
  const clients = new ApiClients(cloud.apis.map(({ socket }) => socket));
  onTestFinished(() => {
    clients.isEnded = true;
  });
  const policy = new ChangingPolicy(clients, random);
  await policy.begin(cloud.hosts.map(({ name }) => name));
  for (const host of cloud.hosts) {
    for (const guest of policy.guests.get(host.name) ?? []) await host.streams.plug(guest);
    cloud.startAgent(host);
  }
  for (const { agent } of cloud.hosts) {
    await agent.until(
      ({ lastTransaction, settled, source }) => lastTransaction !== undefined && settled && (source.revision ?? 0) > 0,
    );
  }
  await cloud.beginTraffic(policy.guests);
  return { cloud, policy, clients };
}

/** The newest revision that either process of the API knows. */
async function revisionOf(cloud: FaultedCloud): Promise<number> {
  const answers = await Promise.all(cloud.apis.map(async ({ socket }) => askOne(socket, 'GET', '/health')));
  return Math.max(...answers.map((answer) => Number(answer?.body['revision'] ?? 0)));
}

/** A change is made, and reaches every kernel. @returns how long that took, in milliseconds. */
async function allHold(cloud: FaultedCloud, policy: ChangingPolicy): Promise<number> {
  const start = performance.now();
  await policy.mark();
  const revision = await revisionOf(cloud);
  const missing = new Map(cloud.hosts.map((host) => [host.name, host]));
  await progressing(
    () => `revision ${revision} in every kernel`,
    async () => {
      for (const [name, { agent }] of missing) {
        if (((await agent.status()).source.revision ?? 0) >= revision) missing.delete(name);
      }
      return missing.size === 0;
    },
    () => [...missing.keys()],
  );
  return performance.now() - start;
}

/** What a change takes just now with nothing wrong: the middle one of three, in milliseconds. */
async function plainChange(cloud: FaultedCloud, policy: ChangingPolicy): Promise<number> {
  const took: number[] = [];
  for (let count = 0; count < 3; count++) took.push(await allHold(cloud, policy));
  return took.sort((a, b) => a - b)[1] ?? 0;
}

async function allRight(cloud: FaultedCloud): Promise<void> {
  await Promise.all(cloud.hosts.map(async (host) => expectRight(cloud, host)));
}

/** What is open was never lost, and what is closed never passed, though both were tried. */
async function expectRight(cloud: FaultedCloud, host: FaultedHost): Promise<void> {
  let [least, tried] = [Infinity, 0];
  // The least difference counts: a packet may be on its way just then, and one that was lost stays lost.
  await progressing(
    () => `what came in at ${host.name} to go out`,
    () => {
      const { openInto, openOut } = cloud.counted(host);
      least = Math.min(least, openInto - openOut);
      return least === 0;
    },
    () => `${least} packets that did not`,
  );
  await progressing(
    () => `new flows at ${host.name} that are forbidden`,
    () => {
      const { closedInto } = cloud.counted(host);
      tried ||= closedInto;
      return closedInto > tried + 20;
    },
    () => cloud.counted(host).closedInto,
  );
  expect([host.name, cloud.counted(host).closedOut]).toEqual([host.name, 0]);
  const before = await host.streams.report();
  await progressing(
    () => `every stream at ${host.name} to go on`,
    async () => {
      const after = await host.streams.report();
      return [...after].every(([name, { forth, back }]) => {
        const was = before.get(name);
        const ends = [
          [was?.forth, forth],
          [was?.back, back],
        ] as const;
        return ends.every(([then, now]) => now.isOpen && now.received > (then?.received ?? 0));
      });
    },
    async () => [...(await host.streams.report()).values()],
  );
}

it('20 changes a second through every fault: none that was acknowledged is lost, no packet is lost that is allowed, none passes that is not', async () => {
  const random = randomFrom(seed);
  const { cloud, policy, clients } = await begun(random);
  const [acknowledged, start] = [clients.acknowledged, performance.now()];
  const changing = policy.run();
  const late: string[] = [];
  const work = async (): Promise<void> => {
    process.stdout.write(`faults: none: ${Math.round(await allHold(cloud, policy))} ms\n`);
    for (let round = 0; round < ROUNDS; round++) {
      for (const { name, happen } of faults(PARTITION)) {
        await happen(cloud);
        const milliseconds = Math.round(await allHold(cloud, policy));
        const took = `${name}: ${milliseconds} ms`;
        process.stdout.write(`faults: ${took}\n`);
        // What it takes without a fault is asked where that decides: it takes as long as all the rest behind a fault.
        if (milliseconds > patience(SOON)) {
          const plain = Math.round(await plainChange(cloud, policy));
          if (milliseconds > (SOON * plain) / QUIET) late.push(`${took}; without a fault ${plain} ms`);
        }
        await allRight(cloud);
      }
    }
  };
  // A change that is refused ends it all.
  await Promise.race([work(), changing.then(() => new Promise<never>(() => undefined))]);
  policy.end();
  await changing;
  const seconds = (performance.now() - start) / 1000;
  const changes = clients.acknowledged - acknowledged;
  process.stdout.write(
    `faults: ${changes} changes acknowledged in ${Math.round(seconds)} s, ${clients.undecided} undecided\n`,
  );
  // Both processes are asked, by turns.
  expect([await policy.wrong(), await policy.wrong()]).toEqual([[], []]);
  await allHold(cloud, policy);
  const topology = cloud.export();
  for (const host of cloud.hosts) expect([host.name, cloud.diff(host, topology)]).toEqual([host.name, '']);
  await allRight(cloud);
  expect(late).toEqual([]);
});
