/** The agent on a bridge of Debian's stock kernel: its whole life once, since everything is slow there. */
import { execa } from 'execa';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Lab } from '../kernel/lab/lab.js';
import {
  allow,
  back,
  CLIENT,
  forth,
  HOST,
  PAIR,
  PAIR_BRIDGE,
  pairDocument,
  reachIn,
  SERVER,
} from '../kernel/lab/pair.js';
import { TestAgent } from '../kernel/lab/test-agent.js';

/** Software emulation; in milliseconds. */
const PATIENCE = 120_000;
let lab: Lab;
let agent: TestAgent;
beforeAll(async () => {
  lab = await Lab.create(PAIR, { bridge: PAIR_BRIDGE });
  agent = new TestAgent(lab.host, PATIENCE);
});
afterAll(async () => {
  await agent.destroy();
  await lab.destroy();
});

async function differs(): Promise<number | undefined> {
  const args = ['netns', 'exec', lab.host, process.execPath, 'dist/src/cli/main.js', 'diff', '-t', agent.path];
  return (await execa('ip', [...args, '--host', HOST, '--datapath', 'bridge'], { reject: false })).exitCode;
}

it('on a bridge: enforces, cuts a revoked flow and lets it go on, heals, and leaves the rules', async () => {
  const options = { args: ['--datapath', 'bridge'] };
  agent.write(pairDocument([allow('udp', 53)]));
  await agent.run(options);
  const exchange = async (): Promise<unknown> =>
    reachIn(lab, forth('v4', 17, 53), back('v4', 17, 53), forth('v4', 17, 54));
  expect(await exchange()).toEqual([[SERVER.device], [CLIENT.device], []]);

  await agent.settled(pairDocument([]));
  await agent.until(({ flows }) => flows.revoked > 0);
  expect(await exchange()).toEqual([[], [], []]);

  await agent.settled(pairDocument([allow('udp', 53)]));
  await agent.until(({ flows }) => flows.restored > 0);
  expect(await exchange()).toEqual([[SERVER.device], [CLIENT.device], []]);

  const { drift } = await agent.status();
  await lab.exec('nft', ['delete table bridge portcullis']);
  await agent.until(
    (status) =>
      status.drift.foreign > drift.foreign && status.lastTransaction?.reason.startsWith('changed by') === true,
  );
  expect(await differs()).toBe(0);

  expect(await agent.end()).toBe(0);
  expect(await exchange()).toEqual([[SERVER.device], [CLIENT.device], []]);
});
