/** Input that is empty, half, shrunken, or no file at all opens nothing and interrupts nothing. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, rmdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { step } from '../support/progress.js';
import { eachWithAgent } from './lab/agent-lab.js';
import type { Lab } from './lab/lab.js';
import {
  allow,
  CLIENT,
  EGRESS,
  forth,
  HERE,
  HOST,
  ipFrame,
  NAMED,
  PAIR_AND_NAMED,
  pairDocument,
  portFields,
  ports,
  reachIn,
  SERVER,
} from './lab/pair.js';
import type { TestAgent } from './lab/test-agent.js';

const named = { ...portFields(NAMED, ['servers'], HERE), id: 'named-port-0007', device: NAMED.device };
const pair = [portFields(CLIENT, ['clients'], HERE), portFields(SERVER, ['servers'], HERE)];
const ALL = pairDocument([allow('udp', 53)], { ports: [...pair, named] });

let lab: Lab;
let agent: TestAgent;
eachWithAgent(PAIR_AND_NAMED, (one, its) => {
  [lab, agent] = [one, its];
  agent.write(ALL);
});

const toNamed = {
  device: CLIENT.device,
  frame: ipFrame(CLIENT.mac, CLIENT.v4, NAMED.v4, ports(17, 30_000, 54)),
};
/** What must pass as long as the policy is in force; the two others must not, whatever happens. */
const reach = async (): Promise<unknown> => reachIn(lab, forth('v4', 17, 53), forth('v4', 17, 54), toNamed);
const ENFORCED = [[SERVER.device], [], []];

const portcullis = async (
  ...args: readonly string[]
): Promise<{ readonly exitCode: number | undefined; readonly stdout: string }> =>
  lab.exec(process.execPath, ['dist/bin/portcullis.js', ...args, '--socket', agent.socket]);

const good = JSON.stringify(ALL);
/** What a source becomes, and what goes before a file can be there again. */
const SPOILT: readonly (readonly [string, () => void, (() => void)?])[] = [
  [
    'an empty file',
    () => {
      writeFileSync(agent.path, '');
    },
  ],
  [
    'an empty object',
    () => {
      agent.write('{}');
    },
  ],
  [
    'null',
    () => {
      agent.write('null');
    },
  ],
  [
    'a comment',
    () => {
      agent.write('# nothing\n');
    },
  ],
  [
    'keys without values',
    () => {
      agent.write('ports:\nsecurity_groups:\n');
    },
  ],
  [
    'empty lists',
    () => {
      agent.write({ ports: [], security_groups: [] });
    },
  ],
  [
    'half a file',
    () => {
      writeFileSync(agent.path, good.slice(0, good.length / 2));
    },
  ],
  [
    'a value without a bottom',
    () => {
      agent.write(`{"ports":[{"id":${'['.repeat(20_000)}${']'.repeat(20_000)}}]}`);
    },
  ],
  [
    'a named pipe',
    () => {
      rmSync(agent.path);
      execFileSync('mkfifo', [agent.path]);
    },
  ],
  [
    'a device',
    () => {
      rmSync(agent.path);
      symlinkSync('/dev/zero', agent.path);
    },
  ],
  [
    'an empty device',
    () => {
      rmSync(agent.path);
      symlinkSync('/dev/null', agent.path);
    },
  ],
  [
    'a link to itself',
    () => {
      rmSync(agent.path);
      symlinkSync(agent.path, agent.path);
    },
  ],
  [
    'an empty folder',
    () => {
      rmSync(agent.path);
      mkdirSync(agent.path);
    },
    () => {
      rmdirSync(agent.path);
    },
  ],
  [
    'nothing',
    () => {
      rmSync(agent.path);
    },
  ],
];

it('a source that becomes anything else is stale: the last good state stays, also through a restart, and the next good one is read', async () => {
  await agent.run();
  for (const [what, spoil, mend] of SPOILT) {
    step(what);
    expect([what, await reach()]).toEqual([what, ENFORCED]);
    spoil();
    const stale = await agent.until(({ source }) => source.staleSince !== undefined);
    expect([what, stale.enforced, stale.ports.length]).toEqual([what, true, 3]);
    expect([what, await reach()]).toEqual([what, ENFORCED]);
    expect([what, await agent.end()]).toEqual([what, 0]);
    agent.start();
    await agent.until(({ source }) => source.staleSince !== undefined);
    expect([what, await reach()]).toEqual([what, ENFORCED]);
    mend?.();
    agent.write(pairDocument([allow('udp', 55)], { ports: [...pair, named] }));
    await agent.until(({ source, settled }) => source.staleSince === undefined && settled);
    const reached = await reachIn(lab, forth('v4', 17, 55), forth('v4', 17, 53), toNamed);
    expect([what, reached]).toEqual([what, [[SERVER.device], [], []]]);
    await agent.settled(ALL);
  }
});

it('a whole without this host’s ports is obeyed when somebody says so, and when the next whole is well', async () => {
  await agent.run();
  const empty = { ...ALL, ports: [] };
  agent.write(empty);
  await agent.until(({ source }) => source.isHeld);
  expect((await portcullis('status')).exitCode).toBe(11);
  agent.write(ALL);
  await agent.until(({ source }) => !source.isHeld && source.staleSince === undefined);
  expect((await portcullis('accept')).exitCode).toBe(1);
  agent.write(empty);
  await agent.until(({ source }) => source.isHeld);
  expect((await portcullis('accept')).exitCode).toBe(0);
  await agent.until(
    ({ ports: left, settled, source }) => left.length === 0 && settled && source.staleSince === undefined,
  );
  expect(await reach()).toEqual([[], [], []]);
});

it('with --allow-shrink it is obeyed at once', async () => {
  await agent.run({ args: ['--allow-shrink'] });
  await agent.settled({ ...ALL, ports: [] });
  expect((await agent.status()).ports).toEqual([]);
});

it('a device that leaves the topology is closed whatever its name, through restarts and flushes, until it is released', async () => {
  await agent.run();
  const without = pairDocument([allow('udp', 53)]);
  await agent.settled(without);
  const isClosed = async (): Promise<void> => {
    expect(await reach()).toEqual(ENFORCED);
    expect((await agent.status()).formerDevices).toEqual([NAMED.device]);
  };
  await isClosed();
  await agent.end('SIGKILL');
  await agent.run();
  await isClosed();
  await lab.load('flush ruleset');
  await agent.until(({ drift, settled }) => drift.foreign > 0 && settled);
  await lab.restoreProbe();
  await isClosed();
  const diff = ['dist/bin/portcullis.js', 'diff', '-t', agent.path, '--host', HOST];
  expect((await lab.exec(process.execPath, diff)).exitCode).toBe(0);

  await agent.settled(ALL);
  expect((await agent.status()).formerDevices).toEqual([]);
  await agent.settled(without);
  expect((await portcullis('release', CLIENT.device)).exitCode).toBe(1);
  expect((await portcullis('release', NAMED.device)).exitCode).toBe(0);
  await agent.until(({ settled, formerDevices }) => settled && formerDevices.length === 0);
  expect(await reachIn(lab, toNamed)).toEqual([[NAMED.device]]);
  const status = await portcullis('status');
  expect([status.exitCode, status.stdout]).toEqual([
    13,
    expect.stringContaining(`NOT FILTERED, and look like guests’: ${NAMED.device}`),
  ]);
});

it('a host whose ports have no device is said to be such', async () => {
  const elsewhere = { ...portFields(SERVER, ['servers'], HERE), id: 'absent-port-01', device: 'tapabsent' };
  agent.write({ security_groups: [{ id: 'servers', security_group_rules: EGRESS }], ports: [elsewhere] });
  await agent.run({ args: ['--allow-shrink'] });
  const status = await portcullis('status');
  expect([status.exitCode, status.stdout]).toEqual([12, expect.stringContaining('NO DEVICE of any port is there')]);
});
