/** What closes without nft: over netlink, at once after a foreign flush, and for as long as nothing can be loaded. */
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { describe, expect, it } from 'vitest';
import { closingText } from '../../agent/closing.js';
import { DEFAULT_OPTIONS } from '../../compiler/index.js';
import { step } from '../support/progress.js';
import { stopProcess } from '../support/stopped.js';
import { eventually } from '../support/waiting.js';
import { eachWithAgent } from './lab/agent-lab.js';
import { type Lab, type Shot } from './lab/lab.js';
import {
  allow,
  CLIENT,
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
import { WrappedNft } from './lab/wrapped-nft.js';

const PAIR_PORTS = [portFields(CLIENT, ['clients'], HERE), portFields(SERVER, ['servers'], HERE)];
const TWO = pairDocument([allow('udp', 53)]);
const ALL = pairDocument([allow('udp', 53)], {
  ports: [...PAIR_PORTS, { ...portFields(NAMED, ['servers'], HERE), device: NAMED.device }],
});
const toNamed = (port: number): Shot => ({
  device: CLIENT.device,
  frame: ipFrame(CLIENT.mac, CLIENT.v4, NAMED.v4, ports(17, 30_000, port)),
});
/** What passes by the policy, and what does not; the last two come from no port of ours, to the named one. */
const SHOTS = [forth('v4', 17, 53), forth('v4', 17, 54), toNamed(54)];
const fromOutside: Shot = {
  device: undefined,
  frame: ipFrame('02:00:00:00:02:00', '192.0.2.9', NAMED.v4, ports(17, 30_000, 54)),
};
const OPEN = [[SERVER.device], [SERVER.device], [NAMED.device], [NAMED.device]];
const ENFORCED = [[SERVER.device], [], [], []];
const CLOSED = [[], [], [], []];

const MAIN = 'dist/bin/portcullis.js';

let lab: Lab;
let agent: TestAgent;
eachWithAgent(PAIR_AND_NAMED, (one, its) => {
  [lab, agent] = [one, its];
  agent.write(ALL);
});

async function reached(): Promise<readonly (readonly string[])[]> {
  await lab.forgetFlows();
  return reachIn(lab, ...SHOTS, fromOutside);
}

async function isSo(wanted: readonly (readonly string[])[]): Promise<boolean> {
  return JSON.stringify(await reached()) === JSON.stringify(wanted);
}

async function differs(): Promise<boolean> {
  return (await lab.exec(process.execPath, [MAIN, 'diff', '-t', agent.path, '--host', HOST])).exitCode !== 0;
}

const said = (text: string): number => agent.log().filter(({ msg }) => msg.includes(text)).length;
const CLOSED_AT_ONCE = 'closed until what is loaded is known';
const NOT_APPLIED = 'not applied, the former rules stand';

describe('closing over netlink', () => {
  const close = async (devices: readonly string[]): Promise<string> =>
    lab.must(process.execPath, ['dist/test/kernel/lab/close.js', JSON.stringify(devices)]);
  const everything = (['inet', 'arp', 'bridge'] as const).map((family) => ({ family, how: 'gone' }) as const);
  const LIST = 'nft list ruleset; echo ---; nft --debug=netlink list ruleset';
  /** What is loaded after a command, where there is no device whose packets rules would count: as text, and as instructions. */
  const listedAfter = async (command: string, input = ''): Promise<readonly [string, readonly string[]]> => {
    const listed = await lab.must('unshare', ['--net', 'sh', '-c', `set -e; ${command}; ${LIST}`], input);
    const [text = '', instructions = ''] = listed.split('---\n');
    // Handles are the kernel's; elements of a set have no order.
    const lines = instructions
      .split(/\n|(?=\telement )/)
      .map((line) => line.replace(/^(\w+ portcullis \w+) [\d ]+$/, '$1').trim());
    return [text, lines.sort()];
  };

  it.each([
    ['no device', []],
    ['one device', ['vnet7']],
    ['names of 15 characters', ['abcdefghijklmno', 'tapabcdefghijkl']],
    ['more devices than go into one message', Array.from({ length: 2500 }, (_, index) => `veth${index.toString()}`)],
  ])('is what nft makes of the text, with %s', async (_what, devices) => {
    const text = await listedAfter('nft -f -', closingText(DEFAULT_OPTIONS, devices, everything));
    const list = JSON.stringify(devices);
    const messages = await listedAfter(`${process.execPath} dist/test/kernel/lab/close.js '${list}'`);
    expect(text[0]).toContain('table bridge portcullis');
    expect(messages).toEqual(text);
  });

  it('goes in where rules of ours are left, and where a base chain of that name is in another place', async () => {
    await lab.load(
      'table inet portcullis {\nchain egress { type filter hook prerouting priority 10; policy accept; }\n}\n' +
        'table arp portcullis {\nchain other {\ncounter\n}\n}\n',
    );
    await close([NAMED.device]);
    expect(await reached()).toEqual(CLOSED);
    expect(await lab.must('nft', ['list', 'table', 'arp', 'portcullis'])).toContain('chain other');
  });

  it('is the baseline, too, and needs no nft', async () => {
    expect(await reached()).toEqual(OPEN);
    const { exitCode } = await lab.exec('env', ['PATH=/nonexistent', process.execPath, MAIN, 'baseline']);
    expect([exitCode, await reached()]).toEqual([0, [[], [], [], [NAMED.device]]]);
  });
});

describe('a starting agent that cannot load', () => {
  const UNREADABLE = 'dist/test/kernel/lab/unreadable-set.js';

  it('since nft dies of somebody else’s set closes, names the set, and enforces when it is gone', async () => {
    await lab.must(process.execPath, [UNREADABLE, 'make']);
    try {
      expect((await lab.exec('nft', ['list', 'tables'])).exitCode).not.toBe(0);
      expect(await reached()).toEqual(OPEN);
      agent.start({ env: { PORTCULLIS_TRANSACTIONS: 'nft' } });
      const { lastError, enforced } = await agent.until((status) => status.lastError !== undefined);
      expect([enforced, lastError]).toEqual([
        false,
        expect.stringMatching(/^closed, until .*SIGSEGV.*set last_seen of table inet newer/),
      ]);
      expect([await reached(), said('set last_seen of table inet newer') > 0]).toEqual([CLOSED, true]);
    } finally {
      await lab.must(process.execPath, [UNREADABLE, 'remove']);
    }
    await agent.until(({ settled }) => settled);
    await lab.restoreProbe();
    expect([await reached(), await differs()]).toEqual([ENFORCED, false]);
  });

  it('although nft dies of somebody else’s set enforces, since its transactions need none', async () => {
    await lab.must(process.execPath, [UNREADABLE, 'make']);
    try {
      expect((await lab.exec('nft', ['list', 'tables'])).exitCode).not.toBe(0);
      expect(await reached()).toEqual(OPEN);
      agent.start();
      await agent.until(({ enforced }) => enforced);
      expect(await reached()).toEqual(ENFORCED);
    } finally {
      await lab.must(process.execPath, [UNREADABLE, 'remove']);
    }
    await lab.restoreProbe();
    expect(await differs()).toBe(false);
  });

  it('of rules that our other backend left closes nothing: what it enforced stays in force until ours are loaded', async () => {
    const backend = ['--backend', 'iptables', '--datapath', 'routed'];
    await lab.must(process.execPath, [MAIN, 'compile', '-t', agent.path, '--host', HOST, ...backend]);
    expect(await reached()).toEqual(ENFORCED);
    const nft = new WrappedNft(agent.folder, '*', 'kill -9 $$');
    nft.on();
    agent.start({ env: nft.env });
    await agent.until(({ lastError }) => lastError !== undefined);
    expect([await reached(), said(CLOSED_AT_ONCE)]).toEqual([ENFORCED, 0]);
    // A guard that does not ask for what is owed is none.
    await agent.end();
    await lab.load('flush chain inet portcullis owed_out');
    agent.start({ env: nft.env });
    await eventually(async () => isSo(CLOSED));
    nft.off();
    await agent.until(({ settled }) => settled);
    expect([await reached(), await differs()]).toEqual([ENFORCED, false]);
  });

  it.each([
    ['fails', 'echo "Error: no" >&2; exit 1'],
    ['is killed', 'kill -9 $$'],
    ['hangs', 'exec sleep 100000'],
  ])('since nft %s, whatever it is asked for, closes, and enforces when it works', async (_what, action) => {
    const nft = new WrappedNft(agent.folder, '*', action);
    nft.on();
    expect(await reached()).toEqual(OPEN);
    agent.start({ env: nft.env });
    await eventually(async () => isSo(CLOSED));
    await eventually(() => said('closed, until rules can be loaded') > 0);
    nft.off();
    await agent.until(({ settled }) => settled);
    expect([await reached(), await differs()]).toEqual([ENFORCED, false]);
  });

  it('that is late is closed meanwhile, and calls nothing enforced before that is taken back', async () => {
    const nft = new WrappedNft(agent.folder, '"-f -"', 'while [ -e "${0%/*}/on" ]; do sleep 0.05; done');
    const go = join(agent.folder, 'go');
    // On a slow machine it may have closed before it began to load: then the load knows of that.
    for (let isLate = false; !isLate;) {
      rmSync(go, { force: true });
      await lab.renew();
      const before = said(CLOSED_AT_ONCE);
      nft.once(`while [ ! -e '${go}' ]; do sleep 0.05; done`);
      agent.start({ env: nft.env });
      await eventually(() => nft.isTaken);
      isLate = said(CLOSED_AT_ONCE) === before;
      if (isLate) await eventually(() => said(CLOSED_AT_ONCE) > before);
      else {
        writeFileSync(go, '');
        await agent.end();
      }
    }
    // What it began before it closed comes in now; what takes the closing back waits.
    const applied = (): number => agent.log().filter(({ id }) => id === 'applied').length;
    const before = applied();
    nft.on();
    writeFileSync(go, '');
    await eventually(() => applied() > before);
    expect([(await agent.status()).enforced, await reached()]).toEqual([false, CLOSED]);
    nft.off();
    await agent.until(({ enforced }) => enforced);
    expect(await reached()).toEqual(ENFORCED);
  });

  it('since there is no nft closes what the source names, says so in its one line, and ends', async () => {
    agent.start({ wrapper: ['env', 'PATH=/nonexistent'] });
    expect([await agent.ended(), agent.told().length]).toEqual([4, 1]);
    expect(agent.output).toContain('the nft program is missing');
    expect(agent.output).toContain('ports are closed');
    expect(await reached()).toEqual(CLOSED);
    await agent.run();
    expect([await reached(), await differs()]).toEqual([ENFORCED, false]);
  });

  it('leaves the rules of the one before as they are, and closes what they do not know', async () => {
    agent.write(TWO);
    await agent.run();
    await agent.end();
    const nft = new WrappedNft(agent.folder, '*', 'exit 1');
    nft.on();
    agent.write(ALL);
    expect(await reached()).toEqual([[SERVER.device], [], [NAMED.device], [NAMED.device]]);
    agent.start({ env: nft.env });
    await eventually(async () => isSo(ENFORCED));
    nft.off();
    await agent.until(({ settled }) => settled);
    expect([await reached(), await differs()]).toEqual([ENFORCED, false]);
  });

  it('closes nothing in audit', async () => {
    const nft = new WrappedNft(agent.folder, '*', 'exit 1');
    nft.on();
    agent.start({ env: nft.env, args: ['--audit'] });
    await agent.until(({ lastError }) => lastError !== undefined);
    expect(await reached()).toEqual(OPEN);
  });
});

describe('a foreign flush', () => {
  it('is closed by the watching process alone: the agent may be busy, and nft may not work', async () => {
    const nft = new WrappedNft(agent.folder, '*', 'exit 1');
    await agent.run({ env: nft.env });
    const { pid } = await agent.status();
    const before = said(CLOSED_AT_ONCE);
    nft.on();
    stopProcess(pid);
    await lab.load('flush ruleset');
    await eventually(async () => isSo(CLOSED));
    process.kill(pid, 'SIGCONT');
    await agent.until(({ enforced }) => !enforced);
    expect(await reached()).toEqual(CLOSED);
    nft.off();
    await agent.until(({ settled }) => settled);
    await lab.restoreProbe();
    expect([await reached(), await differs()]).toEqual([ENFORCED, false]);
    expect([said(CLOSED_AT_ONCE) - before, said('cannot be closed')]).toEqual([1, 0]);
  });

  it('of a part is closed likewise', async () => {
    await agent.run();
    const { pid } = await agent.status();
    for (const [what, command] of [
      ['a table deleted', 'delete table inet portcullis'],
      ['a table made dormant', 'add table inet portcullis { flags dormant; }'],
      ['a base chain emptied', 'flush chain inet portcullis ingress'],
    ] as const) {
      step(what);
      const { foreign } = (await agent.status()).drift;
      stopProcess(pid);
      await lab.load(command);
      await eventually(async () => {
        const [, second, third, fourth] = await reached();
        return JSON.stringify([second, third, fourth]) === JSON.stringify([[], [], []]);
      });
      process.kill(pid, 'SIGCONT');
      await agent.until(({ drift, settled }) => drift.foreign > foreign && settled);
      expect([what, await reached(), await differs()]).toEqual([what, ENFORCED, false]);
    }
  });

  it('is closed, and mended by an nft that a wrapper runs in a process of its own', async () => {
    const nft = new WrappedNft(agent.folder, '*', '/usr/sbin/nft "$@"; exit $?');
    nft.on();
    await agent.run({ env: nft.env });
    for (const command of ['flush ruleset', 'delete table inet portcullis']) {
      const { foreign } = (await agent.status()).drift;
      await lab.load(command);
      await lab.restoreProbe();
      await agent.until(({ drift, settled }) => drift.foreign > foreign && settled);
      expect([await reached(), await differs()]).toEqual([ENFORCED, false]);
    }
  });

  it('is closed once also where the notice of what mended it comes late: it is ours all the same', async () => {
    const nft = new WrappedNft(agent.folder, '"-f -"');
    const go = join(agent.folder, 'go');
    await agent.run({ env: nft.env });
    const before = said(CLOSED_AT_ONCE);
    nft.once(`while [ ! -e '${go}' ]; do sleep 0.05; done`);
    await lab.load('flush ruleset');
    await eventually(() => nft.isTaken);
    const watcher = agent.watcher();
    stopProcess(watcher);
    writeFileSync(go, '');
    await agent.until(({ lastTransaction }) => lastTransaction?.reason === 'no notice of our own transaction came');
    process.kill(watcher, 'SIGCONT');
    await lab.restoreProbe();
    // What it had to say comes before what it says of these.
    await agent.settled(TWO);
    await agent.settled(ALL);
    expect([said(CLOSED_AT_ONCE) - before, await reached(), await differs()]).toEqual([1, ENFORCED, false]);
  });

  it('is closed once, and what the agent does to its own tables never', async () => {
    await lab.must(process.execPath, [MAIN, 'baseline']);
    await agent.run();
    agent.write(TWO);
    await agent.settled(ALL);
    // Where the start takes long it is closed meanwhile.
    const before = said(CLOSED_AT_ONCE);
    const failed = said(NOT_APPLIED);
    for (let round = 1; round <= 3; round++) {
      await lab.load('flush ruleset');
      await agent.until(({ drift, settled }) => drift.foreign === round && settled);
      await agent.settled(round % 2 === 0 ? ALL : TWO);
    }
    // A table that was made for nothing, and goes again in the agent's own transaction.
    await lab.load('table inet portcullis {\nchain egress_more {\n}\n}');
    await agent.until(({ drift, settled }) => drift.foreign === 4 && settled);
    // A comparison that the flush itself made fail closes once more, with the devices that are known then.
    const closings = said(CLOSED_AT_ONCE) - before;
    expect(closings).toBeGreaterThanOrEqual(3);
    expect(closings).toBeLessThanOrEqual(3 + said(NOT_APPLIED) - failed);
    expect((await agent.status()).drift.found).toBe(0);
  });

  it('that nobody heard, since the watching process died of it, is closed before anything is compared', async () => {
    const nft = new WrappedNft(agent.folder, '*', 'exec sleep 100000');
    await agent.run({ env: nft.env });
    const lines = agent.log().length;
    nft.on();
    stopProcess(agent.watcher());
    await lab.load('flush ruleset');
    process.kill(agent.watcher(), 'SIGKILL');
    await eventually(async () => isSo(CLOSED));
    nft.off();
    await agent.until(({ settled }) => settled);
    const told = agent
      .log()
      .slice(lines)
      .map(({ msg }) => msg);
    const [closedAt, failedAt] = [CLOSED_AT_ONCE, 'not applied'].map((text) =>
      told.findIndex((msg) => msg.startsWith(text)),
    );
    expect(closedAt).toBeGreaterThanOrEqual(0);
    expect(failedAt === -1 || (failedAt ?? 0) > (closedAt ?? 0)).toBe(true);
    expect([await reached(), await differs()]).toEqual([ENFORCED, false]);
  });

  it('before the source says anything is closed, too', async () => {
    await agent.run();
    await agent.end();
    agent.write('{ "ports": ');
    agent.start();
    await agent.until(({ source, watching }) => source.staleSince !== undefined && watching.awaySince === undefined);
    await lab.load('flush ruleset');
    await eventually(async () => isSo(CLOSED));
  });

  it('is not closed in audit, nor when the agent was stopped', async () => {
    await agent.run({ args: ['--audit'] });
    await lab.load('flush ruleset');
    await agent.until(({ drift, settled }) => drift.foreign === 1 && settled);
    await agent.end();
    agent.start();
    await agent.until(({ settled }) => settled);
    expect(said(CLOSED_AT_ONCE)).toBe(0);
    await agent.end();
    await lab.load('flush ruleset');
    expect(await reached()).toEqual(OPEN);
  });

  it('that cannot be closed by the watching process is said, and left to the agent', async () => {
    await agent.run();
    const owner = execa('ip', ['netns', 'exec', lab.host, 'nft', '-i'], { stdin: 'pipe', reject: false });
    // Nobody else may change the table from now on: EPERM to whoever closes it.
    owner.stdin.write('delete table arp portcullis; add table arp portcullis { flags owner; }\n');
    await eventually(() => said('cannot be closed that way') > 0);
    await agent.until(({ lastError }) => lastError?.includes('owns it') === true);
    expect(await reached()).toEqual(ENFORCED);
    owner.stdin.end();
    await owner;
    await agent.until(({ settled }) => settled);
    expect(await differs()).toBe(false);
  });
});

describe('what somebody adds to our tables is taken back at once, while nothing can be compared:', () => {
  const rules = [
    allow('udp', 53),
    allow('udp', 63),
    allow('tcp', 80),
    ...[100, 200, 300, 400, 500].map((port) => allow('udp', port, { port_range_max: port + 9 })),
  ];
  const document = pairDocument(rules, {
    ports: [...PAIR_PORTS, { ...portFields(NAMED, ['servers'], HERE), device: NAMED.device }],
  });
  const many = Array.from({ length: 500 }, (_, index) => `ip . 17 . ${(1000 + index).toString()}`).join(', ');

  it.each([
    ['rules that accept', 'insert rule inet portcullis egress accept; insert rule inet portcullis ingress accept'],
    ['a rule with a set of its own', 'insert rule inet portcullis ingress udp dport { 53, 54 } accept'],
    ['a port', 'add element inet portcullis sg_servers_in_ports { ip . 17 . 54 }'],
    ['many ports, and one that opens', `add element inet portcullis sg_servers_in_ports { ${many}, ip . 17 . 54 }`],
    ['a range of ports', 'add element inet portcullis sg_servers_in_port_ranges { ip . 17 . 50-60 }'],
    ['a verdict for the outside', 'add element inet portcullis from_port { "uplink0" : accept }'],
  ])('%s', async (_what, commands) => {
    const nft = new WrappedNft(agent.folder, '*list*', 'while [ -e "$(dirname "$0")/on" ]; do sleep 0.05; done');
    agent.write(document);
    await agent.run({ env: nft.env });
    await agent.until(({ settled }) => settled);
    expect(await reached()).toEqual(ENFORCED);
    const before = await lab.listing('list', 'table', 'inet', 'portcullis');
    nft.on();
    await lab.load(commands);
    await eventually(() => said('was taken back') > 0);
    expect(await reached()).toEqual(ENFORCED);
    expect(await lab.listing('list', 'table', 'inet', 'portcullis')).toBe(before);
    nft.off();
    await agent.until(({ settled }) => settled);
    expect(await differs()).toBe(false);
  });
});

it('what somebody adds while a load of ours hangs is taken back, too', async () => {
  const nft = new WrappedNft(agent.folder, '*"-f -"*');
  await agent.run({ env: nft.env });
  nft.once('exec sleep 100000');
  agent.write(pairDocument([allow('udp', 53), allow('udp', 1000)], { ports: PAIR_PORTS }));
  await eventually(() => nft.isTaken);
  await lab.load('insert rule inet portcullis egress accept; insert rule inet portcullis ingress accept');
  await eventually(() => said('was taken back') > 0);
  await agent.until(({ settled }) => settled);
  expect(await differs()).toBe(false);
});

it('what the agent itself adds is not taken back, however fast it changes', async () => {
  await agent.run();
  for (let round = 0; round < 30; round++) {
    await agent.settled(pairDocument([allow('udp', 53), allow('udp', 1000 + round)], { ports: PAIR_PORTS }));
  }
  expect([said('was taken back'), (await agent.status()).drift]).toEqual([0, { foreign: 0, found: 0 }]);
});
