/** Programs that hang or lie, children that do not start, hang or die: doubt, and said; and nothing of it lasts. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { describe, expect, it } from 'vitest';
import { stopProcess } from '../support/stopped.js';
import { eventually } from '../support/waiting.js';
import { eachWithAgent } from './lab/agent-lab.js';
import type { Lab } from './lab/lab.js';
import { allow, forth, PAIR, pairDocument, reachIn, SERVER } from './lab/pair.js';
import type { TestAgent } from './lab/test-agent.js';
import { WrappedNft } from './lab/wrapped-nft.js';
import { PYTHON } from '../support/python.js';

const OPEN = pairDocument([allow('udp', 53)]);
const CLOSED = pairDocument([]);

let lab: Lab;
let agent: TestAgent;
eachWithAgent(PAIR, (one, its) => {
  [lab, agent] = [one, its];
  agent.write(OPEN);
});

const isOpen = async (): Promise<boolean> => {
  const [reached = []] = await reachIn(lab, forth('v4', 17, 53));
  return reached.includes(SERVER.device);
};

describe('nft', () => {
  it.each([
    ['a load that hangs', '"-f -"', 'exec sleep 100000'],
    ['a load that hangs in a child of its own, which keeps its pipes', '"-f -"', 'sleep 100000 | cat; exit 0'],
    ['a listing that hangs', '*list*', 'sleep 100000'],
    ['a check that hangs', '*--check*', 'sleep 100000'],
  ])(
    '%s is given up, is no enforcement meanwhile, and the change arrives afterwards',
    async (_what, pattern, action) => {
      const nft = new WrappedNft(agent.folder, pattern, action);
      await agent.run({ env: nft.env });
      nft.on();
      agent.write(CLOSED);
      process.kill((await agent.status()).pid, 'SIGHUP');
      const late = await agent.until(({ enforced }) => !enforced);
      expect(late.ports.map(({ state }) => state)).not.toContain('enforced');
      expect((await agent.ask('/health')).code).toBe(503);
      const status = await lab.exec(process.execPath, ['dist/bin/portcullis.js', 'status', '--socket', agent.socket]);
      expect([status.exitCode, status.stdout]).toEqual([10, expect.stringContaining('NOT ENFORCED')]);
      await eventually(() => agent.log().some(({ msg }) => msg.includes('it was ended')));
      nft.off();
      await agent.until(({ settled }) => settled);
      expect(await isOpen()).toBe(false);
    },
  );

  it('that becomes another version while the agent runs makes rules itself, once what it reads was compared', async () => {
    const nft = new WrappedNft(agent.folder, '--version', 'echo "nftables v1.1.9 (x)"; exit 0');
    const isByNft = (): boolean => agent.log().some(({ msg }) => msg.includes('this version of nft'));
    const { PATH = '' } = nft.env;
    await agent.run({ args: ['--log-level', 'debug'], env: { PATH } });
    await agent.settled(CLOSED);
    expect([isByNft(), await isOpen()]).toEqual([false, false]);
    nft.on();
    await agent.reload();
    await agent.settled(OPEN);
    expect([isByNft(), await isOpen()]).toEqual([true, true]);
  });

  it('that hangs does not keep an agent that is asked to stop', async () => {
    const nft = new WrappedNft(agent.folder, '"-f -"', 'sleep 100000');
    await agent.run({ env: nft.env });
    nft.on();
    agent.write(CLOSED);
    await agent.until(({ settled }) => !settled);
    expect(await agent.end()).toBe(0);
  });

  it.each([
    ['says yes and does nothing', 'cat > /dev/null; exit 0'],
    [
      'says yes and does something else',
      'cat > /dev/null; echo "add table inet pctest_other; delete table inet pctest_other" | /usr/sbin/nft -f -; exit 0',
    ],
  ])('that %s is found out, and the change arrives when it is honest again', async (_what, action) => {
    const nft = new WrappedNft(agent.folder, '"-f -"', action);
    await agent.run({ env: nft.env });
    nft.on();
    agent.write(CLOSED);
    const { lastError } = await agent.until(({ enforced, lastError: said }) => !enforced && said !== undefined);
    expect(lastError).toContain('nft said that it had applied');
    nft.off();
    await agent.until(({ settled }) => settled);
    expect(await isOpen()).toBe(false);
  });

  it('that is killed is tried again; after three times our tables are made anew, and stand', async () => {
    const nft = new WrappedNft(agent.folder, '"-f -"', 'kill -9 $$');
    await agent.run({ env: nft.env });
    nft.on();
    agent.write(CLOSED);
    await agent.until(({ enforced, lastError }) => !enforced && lastError?.includes('SIGKILL') === true);
    await eventually(() => agent.log().filter(({ id }) => id === 'not-applied').length > 3);
    nft.off();
    await agent.until(({ settled }) => settled);
    expect(await isOpen()).toBe(false);
    expect((await lab.exec('nft', ['list', 'tables'])).stdout.match(/\w+ portcullis/g)).toHaveLength(3);
  });
});

it('an agent that meets what nobody expected ends with a status of its own, and the rules stay', async () => {
  const trigger = join(agent.folder, 'now');
  const preload = join(agent.folder, 'defect.mjs');
  writeFileSync(
    preload,
    `import { existsSync } from 'node:fs';
if (process.argv[2] === 'agent') setInterval(() => { if (existsSync(${JSON.stringify(trigger)})) throw new Error('unexpected'); }, 20);`,
  );
  await agent.run({ env: { NODE_OPTIONS: `--import=${preload}` } });
  writeFileSync(trigger, '');
  expect(await agent.ended()).toBe(70);
  expect(agent.log().at(-1)?.msg).toContain('this is a defect of portcullis: Error: unexpected');
  expect(await isOpen()).toBe(true);
});

describe('the watching process', () => {
  /** Somebody's flush is noticed and mended. */
  async function isWatched(): Promise<void> {
    const { drift } = await agent.status();
    await lab.load('flush ruleset');
    await agent.until((status) => status.drift.foreign > drift.foreign && status.settled);
  }

  it('that hangs is ended and started again, and what it missed is mended', async () => {
    await agent.run();
    const pid = agent.watcher();
    stopProcess(pid);
    await lab.load('flush ruleset');
    const { watching } = await agent.until(
      ({ watching: now, settled }) => now.losses > 0 && now.awaySince === undefined && settled,
    );
    expect(watching.lastReason).toContain('said nothing for too long');
    expect(agent.watcher()).not.toBe(pid);
    expect((await lab.exec('nft', ['list', 'tables'])).stdout).toContain('table inet portcullis');
    await isWatched();
  });

  it('that cannot be started is tried until it can, and the status says that nobody listens', async () => {
    await agent.run();
    const { pid } = await agent.status();
    const limit = async (descriptors: string): Promise<void> => {
      await execa('prlimit', ['--pid', pid.toString(), `--nofile=${descriptors}`]);
    };
    const { stdout } = await execa('prlimit', [
      '--pid',
      pid.toString(),
      '--nofile',
      '--output=SOFT,HARD',
      '--noheadings',
    ]);
    const [soft = '', hard = ''] = stdout.trim().split(/\s+/);
    await limit(`8:${hard}`);
    process.kill(agent.watcher(), 'SIGKILL');
    await eventually(() => agent.log().some(({ msg }) => msg.includes('cannot be started')));
    await limit(`${soft}:${hard}`);
    const { watching } = await agent.until((status) => status.watching.awaySince === undefined && status.settled);
    expect(watching.losses).toBeGreaterThan(1);
    await isWatched();
  });

  it('that hangs while a change of ours is made leaves that change in doubt: it is compared', async () => {
    await agent.run();
    stopProcess(agent.watcher());
    agent.write(CLOSED);
    await agent.until(({ lastTransaction }) => lastTransaction?.reason === 'no notice of our own transaction came');
    expect(await isOpen()).toBe(false);
  });

  it('that hangs while the policy changes without end: what is compared is what was wanted then, and it is in force', async () => {
    await agent.run();
    stopProcess(agent.watcher());
    let port = 1000;
    const changing = setInterval(() => {
      agent.write(pairDocument([allow('udp', 1000 + (port++ % 1000))]));
    }, 10);
    const inDoubt = (): number =>
      agent.log().filter(({ reason }) => reason === 'no notice of our own transaction came').length;
    const hasFailed = (): boolean => agent.log().some(({ msg }) => msg.startsWith('not applied'));
    try {
      await eventually(() => inDoubt() > 0 || hasFailed());
      await agent.until(({ enforced }) => enforced || hasFailed());
    } finally {
      clearInterval(changing);
    }
    expect(hasFailed()).toBe(false);
    await agent.settled(CLOSED);
    expect(await isOpen()).toBe(false);
  });
});

it('a lock that nobody but root can take: a name that somebody took before us keeps no agent away', async () => {
  const squatter = execa(
    'ip',
    [
      'netns',
      'exec',
      lab.host,
      PYTHON,
      '-c',
      'import socket,time\ns=socket.socket(socket.AF_UNIX)\ns.bind("\\0portcullis-agent")\ns.listen()\nprint(1,flush=True)\ntime.sleep(1000)',
    ],
    { reject: false },
  );
  await new Promise((resolve) => squatter.stdout.once('data', resolve));
  await agent.run();
  expect((await agent.status()).enforced).toBe(true);
  squatter.kill();
});
