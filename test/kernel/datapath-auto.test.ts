/** The agent finds the datapath by the taps of its host. */
import { expect, it } from 'vitest';
import { eventually } from '../support/waiting.js';
import { Lab } from './lab/lab.js';
import { allow, pairDocument, SERVER } from './lab/pair.js';
import { TestAgent } from './lab/test-agent.js';

it('--datapath auto waits for the first one, closed, and goes on as it shows', async () => {
  const bare = await Lab.create([], {});
  const waiting = new TestAgent(bare.host);
  try {
    waiting.write(pairDocument([allow('udp', 53)]));
    waiting.start({ args: ['--datapath', 'auto'] });
    await eventually(() => waiting.output.includes('waiting for the first'));
    const stdout = await bare.must('nft', ['list', 'ruleset']);
    for (const family of ['inet', 'arp', 'bridge']) expect(stdout).toContain(`table ${family} portcullis`);
    expect(stdout).not.toContain('vmap');
    for (const args of [
      ['add', SERVER.device, 'type', 'veth', 'peer', 'name', 'far0'],
      ['set', SERVER.device, 'up'],
    ]) {
      await bare.must('ip', ['link', ...args]);
    }
    const { datapath } = await waiting.until(({ enforced }) => enforced);
    expect(datapath).toBe('routed');
    expect((await bare.exec('nft', ['list', 'ruleset'])).stdout).toContain('vmap');
  } finally {
    await waiting.destroy();
    await bare.destroy();
  }
});
