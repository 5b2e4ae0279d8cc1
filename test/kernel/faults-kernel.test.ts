/** A kernel that is not what its comments say: whatever somebody made of our tables is found, by each comparison, and mended. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { execa } from 'execa';
import { expect, it } from 'vitest';
import { step } from '../support/progress.js';
import { eventually } from '../support/waiting.js';
import { eachWithAgent } from './lab/agent-lab.js';
import type { Lab } from './lab/lab.js';
import { allow, forth, HOST, PAIR, pairDocument, reachIn, SERVER } from './lab/pair.js';
import type { TestAgent } from './lab/test-agent.js';

const DOCUMENT = pairDocument([allow('udp', 53), allow('tcp', 80), allow('tcp', 443)]);
/** What passes with it, and what does not. */
const SHOTS = [forth('v4', 17, 53), forth('v4', 17, 54)];
const ENFORCED = [[SERVER.device], []];

let lab: Lab;
let agent: TestAgent;
eachWithAgent(PAIR, (one, its) => {
  [lab, agent] = [one, its];
  agent.write(DOCUMENT);
});

async function diff(): Promise<{ readonly exitCode: number | undefined; readonly stdout: string }> {
  return lab.exec(process.execPath, ['dist/bin/portcullis.js', 'diff', '-t', agent.path, '--host', HOST]);
}

async function differs(): Promise<boolean> {
  return (await diff()).exitCode !== 0;
}

/** A command with the handle of the first rule that a pattern finds: `$chain` and `$handle` stand for it. */
async function ofRule(pattern: RegExp, command: string): Promise<string> {
  const listing = (await lab.exec('nft', ['--handle', 'list', 'table', 'inet', 'portcullis'])).stdout;
  let chain = '';
  for (const line of listing.split('\n')) {
    chain = /^\s*chain (\S+) \{/.exec(line)?.[1] ?? chain;
    const handle = pattern.test(line) ? / # handle (\d+)/.exec(line)?.[1] : undefined;
    if (handle !== undefined) {
      const comment = /comment "([^"]*)"/.exec(line)?.[1] ?? '';
      return command.replace('$chain', chain).replace('$handle', handle).replace('$comment', comment);
    }
  }
  throw new Error(`no rule is like ${String(pattern)}`);
}

const NOT_ALLOWED = /drop comment ".*no rule allows it"/;

const LIES: readonly (readonly [string, () => Promise<string> | string])[] = [
  ['a table made dormant', () => 'add table inet portcullis { flags dormant; }'],
  [
    'a drop made an accept under its own comment',
    async () =>
      ofRule(NOT_ALLOWED, 'replace rule inet portcullis $chain handle $handle counter accept comment "$comment"'),
  ],
  [
    'a match that is wider under its own comment',
    async () =>
      ofRule(
        /@sg_servers_in_ports /,
        'replace rule inet portcullis $chain handle $handle meta l4proto udp accept comment "$comment"',
      ),
  ],
  [
    'a rule twice, the second time with another body',
    async () => ofRule(NOT_ALLOWED, 'insert rule inet portcullis $chain accept comment "$comment"'),
  ],
  [
    'a jump to a chain of somebody',
    () => 'add chain inet portcullis x; add rule inet portcullis x accept; insert rule inet portcullis egress jump x',
  ],
  [
    'a base chain of somebody in our table',
    () => 'add chain inet portcullis x { type filter hook forward priority 0; policy accept; }',
  ],
  ['the policy of a base chain', () => 'add chain inet portcullis ingress { policy drop; }'],
  ['an object of somebody', () => 'add counter inet portcullis x'],
  [
    'the verdict of a device',
    () =>
      `delete element inet portcullis to_port { "${SERVER.device}" }; add element inet portcullis to_port { "${SERVER.device}" : accept }`,
  ],
  ['a set of the same name with another flag', () => 'add set inet portcullis foreign { type ifname; flags timeout; }'],
];

it('what somebody made of our tables is shown by diff, and mended at the start, and while the agent runs', async () => {
  await agent.run();
  for (const [what, lie] of LIES) {
    step(what);
    expect([what, await reachIn(lab, ...SHOTS)]).toEqual([what, ENFORCED]);
    await agent.end();
    await lab.load(await lie());
    expect([what, await differs()]).toEqual([what, true]);
    await agent.run();
    expect([what, await differs(), await reachIn(lab, ...SHOTS)]).toEqual([what, false, ENFORCED]);

    const { drift } = await agent.status();
    await lab.load(await lie());
    await agent.until((status) => status.drift.foreign > drift.foreign && status.settled);
    await eventually(async () => !(await differs()));
    await lab.forgetFlows();
    expect([what, await reachIn(lab, ...SHOTS)]).toEqual([what, ENFORCED]);
  }
});

it('a comparison that finds the kernel as it should be writes nothing, and needs no nft; what somebody added does', async () => {
  await agent.run({ args: ['--log-level', 'debug'] });
  const generation = async (): Promise<string> =>
    (await lab.exec(process.execPath, ['dist/test/kernel/lab/generation.js'])).stdout;
  const before = await generation();
  expect((await diff()).exitCode).toBe(0);
  await agent.reload();
  expect(await generation()).toBe(before);
  const byNft = (): readonly string[] => agent.log().flatMap(({ id, msg }) => (id === 'read-by-nft' ? [msg] : []));
  expect(byNft()).toEqual([]);
  await lab.load('add set inet portcullis theirs { type mark; }');
  await agent.until(({ drift, settled }) => drift.foreign > 0 && settled);
  expect(new Set(byNft())).toEqual(new Set(['nft said what is loaded: set theirs']));
  expect(await differs()).toBe(false);
});

it('a foreign flush is answered by what closes, before anything is read back, and then by the policy', async () => {
  await agent.run();
  const lines = agent.log().length;
  await lab.load('flush ruleset');
  await agent.until(({ drift, settled }) => drift.foreign > 0 && settled);
  const told = agent
    .log()
    .slice(lines)
    .map(({ msg, way }) => (msg === 'applied' ? `applied ${String(way)}` : msg));
  const closedAt = told.indexOf('closed until what is loaded is known');
  expect(closedAt).toBeGreaterThanOrEqual(0);
  expect(told.slice(closedAt)).toContain('applied everything');
  await lab.restoreProbe();
  await lab.forgetFlows();
  expect([await differs(), await reachIn(lab, ...SHOTS)]).toEqual([false, ENFORCED]);
});

it('flushed again and again it is closed again and again, and heals when that ends', async () => {
  await agent.run();
  for (let round = 0; round < 20; round++) {
    const before = (await agent.status()).drift.foreign;
    await eventually(async () => (await lab.exec('nft', ['list', 'tables'])).stdout.includes('inet portcullis'));
    await lab.load('flush ruleset');
    await agent.until(({ drift }) => drift.foreign > before);
  }
  await agent.until(({ settled }) => settled);
  await lab.restoreProbe();
  await lab.forgetFlows();
  expect([await differs(), await reachIn(lab, ...SHOTS)]).toEqual([false, ENFORCED]);
});

it.each([
  ['', 0],
  [', also where that took so long that the host was closed meanwhile', 2],
])(
  'a table that another program owns is named, the others are enforced, and it is tried again when that program is gone%s',
  async (_, seconds) => {
    const folder = mkdtempSync(join(agent.folder, 'nft-'));
    const slow = `#!/bin/sh\nsleep ${seconds.toString()}\nexec /usr/sbin/nft "$@"\n`;
    writeFileSync(join(folder, 'nft'), slow, { mode: 0o755 });
    const owner = execa('ip', ['netns', 'exec', lab.host, 'nft', '-i'], { stdin: 'pipe', reject: false });
    try {
      owner.stdin.write('add table arp portcullis { flags owner; }\n');
      await eventually(async () => (await lab.exec('nft', ['list', 'tables'])).stdout.includes('table arp portcullis'));
      agent.start({ env: { PATH: `${folder}${delimiter}${process.env['PATH'] ?? ''}` } });
      const status = await agent.until(({ lastError }) => lastError?.includes('owns it') === true);
      expect([status.enforced, status.lastError]).toEqual([false, expect.stringContaining('table arp portcullis')]);
      const wasClosed = agent
        .log()
        .some(
          ({ id, tables }) => id === 'closed' || (id === 'not-closed' && (!Array.isArray(tables) || tables.length > 1)),
        );
      expect(wasClosed || seconds === 0).toBe(true);
      // What closed the host meanwhile is taken back by the next try.
      if (wasClosed) await eventually(async () => isDeepStrictEqual(await reachIn(lab, ...SHOTS), ENFORCED));
      expect(await reachIn(lab, ...SHOTS)).toEqual(ENFORCED);
    } finally {
      owner.stdin.end();
      await owner;
    }
    await agent.until(({ enforced }) => enforced);
    expect(await differs()).toBe(false);
  },
);

it('what is left of iptables and cannot be removed is named, the policy is enforced, and it is tried again', async () => {
  const folder = mkdtempSync(join(agent.folder, 'iptables-'));
  const refuses = join(folder, 'refuses');
  writeFileSync(refuses, '');
  writeFileSync(
    join(folder, 'iptables-legacy-restore'),
    `#!/bin/sh\nif [ -e ${refuses} ]; then echo 'iptables-restore: not today' >&2; exit 4; fi\nexec /usr/sbin/iptables-legacy-restore "$@"\n`,
    { mode: 0o755 },
  );
  await lab.must('iptables-legacy', ['-t', 'mangle', '-N', 'pc-egress']);
  await agent.run({
    args: ['--verify', '1'],
    env: { PATH: `${folder}${delimiter}${process.env['PATH'] ?? ''}` },
  });
  const { enforced, leftover } = await agent.until((status) => status.leftover !== undefined);
  expect([enforced, leftover]).toEqual([true, expect.stringContaining('not today')]);
  expect(await reachIn(lab, ...SHOTS)).toEqual(ENFORCED);
  const status = await lab.exec(process.execPath, ['dist/bin/portcullis.js', 'status', '--socket', agent.socket]);
  expect(status.stdout).toContain('left over, and tried again: iptables');
  rmSync(refuses);
  await agent.until((now) => now.leftover === undefined);
  expect(await lab.must('iptables-legacy-save', ['-t', 'mangle'])).not.toContain('pc-egress');
});
