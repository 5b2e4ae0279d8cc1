/** Two processes of the API, a real etcd and an agent that follows it, as an operator runs them. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Cloud, HOST, NOBODY, SECOND_URL, URL } from './cloud.js';
import { Etcd } from './lab/etcd.js';

let cloud: Cloud;
let etcd: Etcd;
beforeAll(async () => {
  cloud = new Cloud();
  await cloud.loopback();
  etcd = await Etcd.start({ namespace: cloud.network.host });
  await cloud.startOnEtcd(etcd.url());
}, 0);
afterAll(async () => {
  await cloud.end();
  await etcd.end();
}, 0);

const ended = async (...args: readonly string[]): Promise<unknown> => {
  const { exit, err } = await cloud.portcullisEnds(...args);
  return [exit, err];
};

it('what one process was told is in force, and the other one knows where', async () => {
  await cloud.succeeds('openstack network create net');
  await cloud.succeeds(`openstack port create --network net --host ${HOST} p1`);
  await cloud.says('the first port to be enforced', /absent +enforced +p1/, /source etcd:.*, revision \d+ in force/);
  // Both processes have listened for long enough to know all hosts.
  for (const url of [URL, SECOND_URL]) {
    await cloud.until({
      what: 'every host to have spoken',
      probe: async () => ended('wait', '--api', url, '--latest'),
      check: (answer) => expect(answer).toEqual([0, expect.stringMatching(/is in force on 1 host$/)]),
    });
  }
  // A change that does not concern the host: it says all the same that it has it, since it is asked.
  await cloud.succeeds('openstack security group create elsewhere');
  expect(await ended('wait', '--api', SECOND_URL, '--latest')).toEqual([
    0,
    expect.stringMatching(/is in force on 1 host$/),
  ]);
  const { exit, out } = await cloud.portcullisEnds('hosts', '--api', SECOND_URL);
  expect([exit, out]).toEqual([0, expect.stringMatching(new RegExp(`^${HOST}  in force  revision \\d+  1 ports`))]);
});

it('without one process the other one serves; without etcd what is in force stays, and goes on with it', async () => {
  await cloud.killApi();
  await cloud.succeeds(`OS_ENDPOINT=${SECOND_URL} openstack port create --network net --host ${HOST} p2`);
  await cloud.says('a change by the other process', /enforced +p2/);
  await etcd.kill(0);
  expect(await cloud.says('the agent to say that etcd is gone', /STALE/)).toMatch(/^enforced/);
  etcd.run(0);
  await etcd.healthy();
  await cloud.until({
    what: 'the API to serve again',
    probe: async () =>
      cloud.typed(`OS_ENDPOINT=${SECOND_URL} openstack port create --network net --host ${HOST} p3`, NOBODY),
    check: ({ exit, err }) => expect([exit, err]).toEqual([0, '']),
  });
  await cloud.says('a change after that', /enforced +p3/, /^(?!.*STALE)/s);
});
