/** API and agent as two processes, and the client's program as a person types it. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Cloud, HOST, NOBODY } from './cloud.js';

let cloud: Cloud;
beforeAll(async () => {
  cloud = new Cloud();
  await cloud.startApart();
}, 0);
afterAll(async () => cloud.end(), 0);

it('an agent beside the API follows it, stays as it is while it is gone, and goes on when it is back', async () => {
  const typed = async (line: string): Promise<void> => {
    const { exit, err } = await cloud.typed(line, NOBODY);
    expect(exit, `${line}\n${err}\nthe product said last:\n${cloud.said()}\n`).toBe(0);
  };
  const says = async (what: string, ...patterns: readonly RegExp[]): Promise<string> =>
    cloud.until({
      what,
      probe: cloud.status,
      check: (answer) => patterns.forEach((pattern) => expect(answer).toMatch(pattern)),
    });
  await typed('openstack network create net');
  await typed(`openstack port create --network net --host ${HOST} p1`);
  await says('the first port to be enforced', /absent +enforced +p1/);
  await cloud.killApi();
  expect(await says('the agent to say that its source is gone', /STALE/)).toMatch(/^enforced/);
  await cloud.startApi();
  await typed(`openstack port create --network net --host ${HOST} p2`);
  await says('the second port to be enforced, by an agent that is not stale', /enforced +p2/, /^(?!.*STALE)/s);
});
