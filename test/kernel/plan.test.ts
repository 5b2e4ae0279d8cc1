/** `portcullis diff` says beforehand what an agent does then: which rules change for whom, and how many live flows are cut. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Lab } from './lab/lab.js';
import { allow, forth, HOST, PAIR, pairDocument, reachIn, SERVER } from './lab/pair.js';
import { TestAgent } from './lab/test-agent.js';

let lab: Lab;
let agent: TestAgent;
beforeAll(async () => {
  lab = await Lab.create(PAIR);
  agent = new TestAgent(lab.host);
});
afterAll(async () => {
  await agent.destroy();
  await lab.destroy();
});

it('names what changes, and counts the flows that the agent cuts then', async () => {
  agent.write(pairDocument([allow('udp', 53), allow('udp', 54)]));
  await agent.run();
  const shots = [forth('v4', 17, 53), forth('v4', 17, 54)];
  expect(await reachIn(lab, ...shots)).toEqual([[SERVER.device], [SERVER.device]]);

  const next = join(agent.folder, 'next.json');
  const wanted = pairDocument([allow('udp', 153), allow('udp', 54)]);
  writeFileSync(next, JSON.stringify(wanted));
  const diff = async (...args: readonly string[]): Promise<{ exitCode: number; stdout: string }> =>
    lab.exec(process.execPath, ['dist/bin/portcullis.js', 'diff', '-t', next, '--host', HOST, ...args]);
  expect(await diff()).toMatchObject({
    exitCode: 2,
    stdout: [
      '~ group servers: udp 53 → 153 from anywhere (IPv4) (1 port)',
      'Plan: 1 changed; 1 live flow would be cut',
    ].join('\n'),
  });
  const { exitCode, stdout } = await diff('--json');
  expect(exitCode).toBe(2);
  expect(JSON.parse(stdout)).toMatchObject({
    differs: true,
    plan: [{ sign: '~', kind: 'group' }],
    flows_cut: 1,
    raw: expect.arrayContaining(['  + sg_servers_in_ports: ip . 17 . 153']) as unknown,
  });

  await agent.settled(wanted);
  expect((await agent.until(({ flows }) => flows.revoked > 0)).flows.revoked).toBe(1);
  expect(await diff()).toMatchObject({ exitCode: 0, stdout: '' });

  // On a terminal, the one that loads says it beforehand.
  await agent.end();
  writeFileSync(next, JSON.stringify(pairDocument([allow('udp', 53), allow('udp', 54)])));
  const compile = `NO_COLOR=1 ${process.execPath} dist/bin/portcullis.js compile -t ${next} --host ${HOST}`;
  expect((await lab.must('script', ['--quiet', '--return', '--command', compile, '/dev/null'])).split(/\r?\n/)).toEqual(
    [
      '~ group servers: udp 153 → 53 from anywhere (IPv4) (1 port)',
      'Plan: 1 changed; no live flow would be cut',
      'loaded',
    ],
  );
  expect(await diff()).toMatchObject({ exitCode: 0, stdout: '' });
});
