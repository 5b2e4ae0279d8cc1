/** API and agent as two processes, and the client's program as a person types it. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Cloud, HOST, NOBODY, URL } from './cloud.js';

let cloud: Cloud;
beforeAll(async () => {
  cloud = new Cloud();
  await cloud.startApart();
}, 0);
afterAll(async () => cloud.end(), 0);

it('what was changed is waited for; a host that does not have it is named', async () => {
  const wait = async (...args: readonly string[]): Promise<unknown> => {
    const { exit, err } = await cloud.portcullisEnds('wait', '--api', URL, ...args);
    return [exit, err];
  };
  const change = async (name: string): Promise<void> => {
    const made = await cloud.typed(`openstack security group create ${name}`, NOBODY);
    expect([made.exit, made.err]).toEqual([0, '']);
  };
  await change('first');
  expect(await wait('--latest')).toEqual([0, expect.stringMatching(/^revision \d+ is in force on 1 host$/)]);
  const { out } = await cloud.portcullisEnds('hosts', '--api', URL, '--json');
  const { revision, hosts } = JSON.parse(out) as { readonly revision: number; readonly hosts: readonly object[] };
  expect(hosts).toMatchObject([
    { host: HOST, revision, alive: true, enforced: true, trouble: null, behind_seconds: null },
  ]);
  expect(await wait('--revision', String(revision + 1))).toEqual([1, expect.stringContaining('was not made yet')]);
  cloud.signalAgent('SIGSTOP');
  try {
    await change('second');
    expect(await wait('--revision', String(revision), '--timeout', '0')).toEqual([0, expect.anything()]);
    // On a slow machine it has been silent for so long that it is not asked any more: nothing is claimed of it all the same.
    const names = new RegExp(`^(${HOST}: it has revision ${revision}|no host reports.*)$`, 'm');
    expect(await wait('--latest', '--timeout', '1')).toEqual([2, expect.stringMatching(names)]);
    const { exit, out: line } = await cloud.portcullisEnds('hosts', '--api', URL);
    const state = new RegExp(`^${HOST}  (behind|silent)  revision ${revision} `);
    expect([exit, line]).toEqual([2, expect.stringMatching(state)]);
  } finally {
    cloud.signalAgent('SIGCONT');
  }
  const waited = await cloud.portcullisEnds('wait', '--api', URL, '--latest', '--json');
  expect([waited.exit, JSON.parse(waited.out)]).toEqual([
    0,
    { revision: expect.any(Number) as number, inForce: true, hosts: 1, missing: [], silent: [] },
  ]);
  expect((await cloud.portcullisEnds('hosts', '--api', URL)).out).toMatch(/^compute-1 {2}in force {2}/);
});

it('an agent beside the API follows it, stays as it is while it is gone, and goes on when it is back', async () => {
  await cloud.succeeds('openstack network create net');
  await cloud.succeeds(`openstack port create --network net --host ${HOST} p1`);
  await cloud.says('the first port to be enforced', /absent +enforced +p1/, /source api:.*, revision \d+ in force/);
  await cloud.killApi();
  expect(await cloud.says('the agent to say that its source is gone', /STALE/)).toMatch(/^enforced/);
  await cloud.startApi();
  await cloud.succeeds(`openstack port create --network net --host ${HOST} p2`);
  await cloud.says('the second port to be enforced, by an agent that is not stale', /enforced +p2/, /^(?!.*STALE)/s);
  const explained = async (port: string): Promise<string> => {
    const ends = ['--from', 'any', '--to', port, '--protocol', 'any'];
    return (await cloud.portcullisEnds('explain', '--api', URL, ...ends)).err;
  };
  // The network has no subnet.
  expect(await explained('p2')).toBe('error: --from and --to have no address of one family');
  expect(await explained('p3')).toMatch(/^error: --to: "p3" is no port .*: did you mean p[12]\?$/);
});
