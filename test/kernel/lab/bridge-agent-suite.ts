/** The agent on a bridge: its whole life once. */
import { execa } from 'execa';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Datapath } from '../../../compiler/index.js';
import { Lab } from './lab.js';
import { allow, back, CLIENT, forth, HOST, PAIR, PAIR_BRIDGE, pairDocument, reachIn, SERVER } from './pair.js';
import { TestAgent } from './test-agent.js';

/** @param patience for each step of the agent, in milliseconds. */
export function bridgeAgentSuite(datapath: Datapath, patience: number): void {
  let lab: Lab;
  let agent: TestAgent;
  beforeAll(async () => {
    lab = await Lab.create(PAIR, { bridge: PAIR_BRIDGE });
    agent = new TestAgent(lab.host, patience);
  });
  afterAll(async () => {
    await agent.destroy();
    await lab.destroy();
  });

  async function differs(): Promise<number | undefined> {
    const args = ['netns', 'exec', lab.host, process.execPath, 'dist/src/cli/main.js', 'diff', '-t', agent.path];
    return (await execa('ip', [...args, '--host', HOST, '--datapath', datapath], { reject: false })).exitCode;
  }

  it(`on a bridge (${datapath}): enforces, cuts a revoked flow and lets it go on, heals, and leaves the rules`, async () => {
    const options = { args: ['--datapath', datapath] };
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
}
