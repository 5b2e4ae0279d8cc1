/** The agent on a real kernel: start, change, drift, faults, restart. */
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { execa } from 'execa';
import { describe, expect, it, onTestFinished } from 'vitest';
import { forgetFaketime } from '../support/faketime.js';
import { step } from '../support/progress.js';
import { stopProcess } from '../support/stopped.js';
import { eventually } from '../support/waiting.js';
import type { Transport } from '../../compiler/model/index.js';
import type { StatsReport } from '../../src/cli/stats/report.js';
import { eachWithAgent } from './lab/agent-lab.js';
import { UPLINK, type Lab } from './lab/lab.js';
import {
  allow,
  back,
  CLIENT,
  EGRESS,
  forth,
  HERE,
  HOST,
  ipFrame,
  OUTSIDE,
  PAIR,
  pairDocument,
  portFields,
  ports,
  reachIn,
  type Rule,
  SERVER,
} from './lab/pair.js';
import { TestAgent } from './lab/test-agent.js';
import { PYTHON } from '../support/python.js';

const OPEN = pairDocument([allow('udp', 53), allow('tcp', 80)]);

let lab: Lab;
let agent: TestAgent;
eachWithAgent([...PAIR, { device: 'tapother00-00', addresses: ['10.0.0.3', 'fd00::3'] }], (one, its) => {
  [lab, agent] = [one, its];
  agent.write(OPEN);
});

const reach = async (...shots: Parameters<typeof reachIn> extends [Lab, ...infer S] ? S : never): Promise<unknown> =>
  reachIn(lab, ...shots);

async function generation(): Promise<string> {
  return (await lab.exec(process.execPath, ['dist/test/kernel/lab/generation.js'])).stdout;
}

/** Exit code of `portcullis diff`: 0 when the kernel holds exactly what a fresh compilation gives. */
async function differs(): Promise<number> {
  const args = ['dist/bin/portcullis.js', 'diff', '-t', agent.path, '--host', HOST];
  return (await lab.exec(process.execPath, args)).exitCode;
}

describe('life', () => {
  it('enforces what the source says, follows its changes, and leaves the rules when it stops', async () => {
    await agent.run();
    expect(await reach(forth('v4', 17, 53), forth('v6', 17, 53), forth('v4', 17, 54))).toEqual([
      [SERVER.device],
      [],
      [],
    ]);
    await agent.settled(pairDocument([allow('udp', 54)]));
    expect(await reach(forth('v4', 17, 54))).toEqual([[SERVER.device]]);
    expect(await agent.end()).toBe(0);
    expect(await differs()).toBe(0);
    expect(await reach(forth('v4', 17, 54), forth('v4', 17, 55))).toEqual([[SERVER.device], []]);
  });

  it('that starts with nothing changed writes nothing', async () => {
    await agent.run();
    await agent.end('SIGKILL');
    const before = await generation();
    await agent.run();
    await agent.end();
    expect(await generation()).toBe(before);
  });

  it('cuts at its start the flows whose permission went while it was down', async () => {
    await agent.run();
    expect(await reach(forth('v4', 17, 53), back('v4', 17, 53))).toEqual([[SERVER.device], [CLIENT.device]]);
    await agent.end();
    agent.write(pairDocument([]));
    await agent.run();
    await agent.until(({ flows }) => flows.revoked > 0);
    expect(await reach(forth('v4', 17, 53), back('v4', 17, 53))).toEqual([[], []]);
  });

  it.each([
    ['at its start', 'while it was down', 'nftables', true],
    ['at its start', 'while it was down', 'iptables', true],
    ['at once', 'while it ran', 'nftables', false],
  ])(
    'cuts %s the flows to and from an address that a port changed for another one %s (%s)',
    async (_when, _while, backend, isDown) => {
      await agent.run({ args: ['--backend', backend] });
      const fromOutside = {
        device: UPLINK,
        frame: ipFrame(OUTSIDE.mac, OUTSIDE.v4, SERVER.v4, ports(17, 30_000, 53)),
      };
      const toOutside = {
        device: SERVER.device,
        frame: ipFrame(SERVER.mac, SERVER.v4, OUTSIDE.v4, ports(17, 53, 30_000)),
      };
      const shots = [forth('v4', 17, 53), back('v4', 17, 53), fromOutside, toOutside];
      expect(await reach(...shots)).toEqual([[SERVER.device], [CLIENT.device], [SERVER.device], [UPLINK]]);
      const after = pairDocument([], {
        ports: [
          portFields(CLIENT, ['clients'], HERE),
          portFields(SERVER, ['servers'], { ...HERE, fixed_ips: [{ ip_address: '10.0.0.77' }] }),
        ],
      });
      if (isDown) {
        await agent.end();
        agent.write(after);
        await agent.run({ args: ['--backend', backend] });
      } else await agent.settled(after);
      await agent.until(({ flows }) => flows.revoked === 1);
      expect(await reach(...shots)).toEqual([[], [], [], []]);
      // Neither does a look at everything let them go on.
      await agent.reload();
      expect(await reach(...shots)).toEqual([[], [], [], []]);
    },
  );

  it('cuts a flow again whose mark a packet wrote back as it had read it, as often as that happens', async () => {
    await agent.run();
    // Whether an eraser of marks comes before the next look is a matter of luck: tried until it does, three times in a row.
    const isCutThrice = async (): Promise<boolean> => {
      await agent.settled(OPEN);
      await lab.forgetFlows();
      await reach(forth('v4', 17, 53));
      let { revoked } = (await agent.status()).flows;
      await agent.settled(pairDocument([]));
      for (let erasures = 0; ; erasures++) {
        const before = revoked;
        for (let looks = 0; revoked === before; looks++) {
          if (looks === 100) return false;
          await setTimeout(20);
          ({ revoked } = (await agent.status()).flows);
        }
        if (erasures === 3) return true;
        // Both ends admitted it, and nobody revoked it (`flowBits`).
        await lab.must('conntrack', ['-U', '-f', 'ipv4', '--mark', '0x60000000']);
      }
    };
    await eventually(isCutThrice);
    await eventually(async () => JSON.stringify(await reach(forth('v4', 17, 53))) === '[[]]');
  });

  it('is alone on its host: a second one says so and exits 4', async () => {
    await agent.run();
    const second = new TestAgent(lab.host);
    second.write(OPEN);
    second.start();
    expect(await second.ended()).toBe(4);
    expect(second.output).toContain('another agent is at work here');
    await second.destroy();
    expect((await agent.status()).enforced).toBe(true);
  });

  it.each([
    ['an address of another host', '240.1.2.3:9696', /^error: --api: .*240\.1\.2\.3/],
    ['a file that is no socket', 'unix:FILE', /^error: --api: .*is there and is no socket/],
  ])('an API that cannot listen on %s is one line and 1, and the kernel stays as it is', async (_what, where, says) => {
    const file = join(agent.folder, 'file');
    writeFileSync(file, 'data');
    const args = ['--api', where.replace('FILE', file), '--auth', `tokens:${join(agent.folder, 'users.yaml')}`];
    writeFileSync(join(agent.folder, 'users.yaml'), 'projects: [{ id: p, name: p }]', { mode: 0o600 });
    const store = ['--store', join(agent.folder, 'store'), '--socket', agent.socket];
    const command = ['netns', 'exec', lab.host, process.execPath, 'dist/bin/portcullis.js', 'agent', '--host', HOST];
    const { exitCode, stderr } = await execa('ip', [...command, ...args, ...store], { reject: false });
    expect(exitCode, stderr).toBe(1);
    const lines = stderr.split('\n').filter((line) => line !== '' && !line.startsWith('{'));
    expect(lines, stderr).toEqual([expect.stringMatching(says) as string]);
    expect((await execa('ip', ['netns', 'exec', lab.host, 'nft', 'list', 'tables'])).stdout).not.toContain(
      'portcullis',
    );
    expect(readFileSync(file, 'utf8')).toBe('data');
  });

  it('a place for status or metrics that is taken is said, and costs no enforcement', async () => {
    writeFileSync(agent.socket, 'data');
    agent.start({ args: ['--metrics', '240.1.2.3:9808'] });
    await eventually(() => agent.log().some(({ msg }) => msg.includes('metrics: 240.1.2.3:9808: ')));
    expect(agent.output).toContain(`the status socket: ${agent.socket}: is there and is no socket: it is left alone`);
    await eventually(async () =>
      (await execa('ip', ['netns', 'exec', lab.host, 'nft', 'list', 'tables'])).stdout.includes('portcullis'),
    );
    expect(readFileSync(agent.socket, 'utf8')).toBe('data');
  });

  it('says READY to systemd when the rules are in, and lives on its watchdog', async () => {
    const path = join(agent.folder, 'notify.sock');
    const listen = `import socket,sys\ns=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM);s.bind(sys.argv[1]);print('bound',flush=True)\nwhile True: print(s.recv(4096).decode().replace(chr(10),' '),flush=True)`;
    const listener = execa(PYTHON, ['-c', listen, path], { reject: false, buffer: false });
    let heard = '';
    listener.stdout.on('data', (chunk: Buffer) => (heard += chunk.toString()));
    await eventually(() => heard.includes('bound'));
    await agent.run({ env: { NOTIFY_SOCKET: path, WATCHDOG_USEC: '1000000' } });
    expect((await lab.exec('nft', ['list', 'tables'])).stdout).toContain('table inet portcullis');
    await eventually(() => heard.includes('READY=1') && heard.includes('WATCHDOG=1'));
    await agent.end();
    await eventually(() => heard.includes('STOPPING=1'));
    expect(heard).not.toContain('STATUS=enforcing');
    heard = '';
    await agent.run({ args: ['--audit'], env: { NOTIFY_SOCKET: path } });
    await eventually(() => heard.includes('STATUS=audit: nothing is enforced'));
    await agent.end();
    listener.kill();
  });

  it('ends in order when it is asked to at any instant, also while a program of its own runs', async () => {
    for (let round = 0; round < 8; round++) {
      await agent.run();
      agent.write(pairDocument([allow('udp', 1000 + round)]));
      await setTimeout(20 + 4 * round);
      expect([await agent.end(), agent.output.split('\n').filter((line) => !line.startsWith('{'))]).toEqual([0, ['']]);
    }
    expect(agent.log().filter(({ msg }) => msg.startsWith('stopped'))).toHaveLength(8);
  });

  it('answers on its socket: health, metrics, status', async () => {
    await agent.run();
    expect(await agent.ask('/health')).toEqual({ code: 200, body: 'enforced\n' });
    const { body } = await agent.ask('/metrics');
    // A slow start closes the host meanwhile, and takes another one.
    const made = agent.log().filter(({ id, way }) => id === 'applied' && way === 'everything').length;
    expect(made).toBeGreaterThan(0);
    expect(body).toContain(`portcullis_transactions_total{way="everything"} ${made.toString()}\n`);
    expect(body).toContain('portcullis_ports{state="enforced"} 2');
    // From the start, so that the first event is one that something can be compared with.
    expect(body).toContain('portcullis_drift_total{kind="foreign"} 0\n');
    const dropped = (of: string): number =>
      Number(/portcullis_dropped_packets_total\{direction="ingress"\} (\d+)\n/.exec(of)?.[1]);
    // Devices that are no port's get what the host itself sends.
    const droppedBefore = dropped(body);
    expect(droppedBefore).toBeGreaterThanOrEqual(0);
    expect(body).toMatch(
      /portcullis_build_info\{version="[\d.]+",node="[\d.]+",backend="nftables",datapath="routed"\} 1/,
    );
    expect((await agent.ask('/else')).code).toBe(404);
    const { ports: shown } = await agent.status();
    expect(shown.map(({ device, state, isDevicePresent }) => [device, state, isDevicePresent])).toEqual([
      [CLIENT.device, 'enforced', true],
      [SERVER.device, 'enforced', true],
    ]);
    expect(body).toMatch(/portcullis_elements \d\d+\n/);
    const main = [process.execPath, 'dist/bin/portcullis.js'];
    const watch = execa('ip', ['netns', 'exec', lab.host, ...main, 'stats', '--watch', '--socket', agent.socket], {
      reject: false,
    });
    let watched = '';
    watch.stdout.on('data', (chunk: Buffer) => (watched += chunk.toString()));
    await eventually(() => watched !== '');
    await reach(forth('v4', 17, 99));
    await eventually(() =>
      /not let through, by port:\n(.*\n)* +1 .*ingress +tapserver00-00 +server00-00\n(.*\n)*.*by reason:\n(.*\n)* +1 .*no rule allows it/.test(
        watched,
      ),
    );
    await eventually(async () => dropped((await agent.ask('/metrics')).body) > droppedBefore);
    watch.kill();
    await watch;
    const status = await execa(process.execPath, ['dist/bin/portcullis.js', 'status', '--socket', agent.socket]);
    expect(status.stdout).toMatch(/^enforced\n/);
    const question = [
      'explain',
      '--socket',
      agent.socket,
      '--from',
      CLIENT.v4,
      '--to',
      SERVER.v4,
      '--protocol',
      'udp',
      '--dst-port',
      '99',
    ];
    const explained = await execa(process.execPath, ['dist/bin/portcullis.js', ...question], { reject: false });
    expect([explained.exitCode, explained.stdout]).toEqual([3, expect.stringMatching(/^IPv4 .*: dropped\n/)]);
  });

  it('commands that it would undo refuse beside it, and name it; nothing is changed', async () => {
    await agent.run();
    const before = await generation();
    const load = ['compile', '-t', agent.path, '--host', HOST];
    for (const command of [['flush'], load]) {
      const { exitCode, stderr } = await lab.exec(process.execPath, ['dist/bin/portcullis.js', ...command]);
      const who = `error: an agent is at work here (process ${agent.pid().toString()}), and would undo this at once: `;
      expect([exitCode, stderr.slice(0, who.length), stderr.split('\n').length]).toEqual([4, who, 1]);
    }
    expect(await generation()).toBe(before);
    await lab.must(process.execPath, ['dist/bin/portcullis.js', 'flush', '--force']);
    await agent.until(({ drift, settled }) => drift.foreign > 0 && settled);
  });

  it('without a topology yet, changes nothing and is not ready', async () => {
    agent.write('{ broken');
    agent.start();
    await agent.until(({ source }) => source.staleSince !== undefined);
    expect((await agent.ask('/health')).code).toBe(503);
    expect((await lab.exec('nft', ['list', 'tables'])).stdout).not.toContain('portcullis');
    agent.write(OPEN);
    await agent.until(({ enforced }) => enforced);
  });

  it('without a topology yet, changes nothing when notices are lost either', async () => {
    agent.write('{ broken');
    agent.start();
    await agent.until(({ source, watching }) => source.staleSince !== undefined && watching.awaySince === undefined);
    process.kill(agent.watcher(), 'SIGKILL');
    await eventually(() => agent.log().some(({ msg }) => msg.includes('the watching process ended')));
    await agent.until(({ watching }) => watching.awaySince === undefined);
    expect(agent.log().filter(({ id }) => id === 'closed')).toEqual([]);
    expect((await lab.exec('nft', ['list', 'tables'])).stdout).not.toContain('portcullis');
    agent.write(OPEN);
    await agent.until(({ enforced }) => enforced);
  });
});

describe('source', () => {
  it('that breaks: the last good state stays, the error is loud, and it heals by itself', async () => {
    await agent.run();
    agent.write('{ "ports": [');
    const stale = await agent.until(({ source }) => source.staleSince !== undefined);
    expect(stale.enforced).toBe(true);
    expect(stale.source.problems.join()).toContain('is not JSON');
    expect(
      agent.log().filter(({ level, msg }) => level === 50 && msg.includes('the last good state stays')),
    ).toHaveLength(1);
    expect(await reach(forth('v4', 17, 53))).toEqual([[SERVER.device]]);
    rmSync(agent.path);
    await agent.until(({ source }) => source.problems.join().includes('cannot be read'));
    await agent.settled(pairDocument([allow('udp', 54)]));
    expect((await agent.status()).source.staleSince).toBeUndefined();
    expect(await reach(forth('v4', 17, 54))).toEqual([[SERVER.device]]);
  });

  it('written in place, and half first', async () => {
    await agent.run();
    const text = JSON.stringify(pairDocument([allow('udp', 54)]));
    writeFileSync(agent.path, text.slice(0, 100));
    await setTimeout(10);
    writeFileSync(agent.path, text);
    await eventually(async () => (await differs()) === 0);
    expect(await reach(forth('v4', 17, 54))).toEqual([[SERVER.device]]);
  });

  it('a folder behind a link that is swapped, as Kubernetes mounts configuration', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'portcullis-swap-'));
    const version = (name: string, content: object): void => {
      mkdirSync(join(folder, name));
      writeFileSync(join(folder, name, 'topology.json'), JSON.stringify(content));
      symlinkSync(name, join(folder, `link-${name}`));
      renameSync(join(folder, `link-${name}`), join(folder, 'current'));
    };
    version('one', OPEN);
    agent.start({ source: ['--source', `file:${join(folder, 'current')}`] });
    await agent.until(({ enforced }) => enforced);
    expect(await reach(forth('v4', 17, 53), forth('v4', 17, 54))).toEqual([[SERVER.device], []]);
    version('two', pairDocument([allow('udp', 54)]));
    await eventually(
      async () => JSON.stringify(await reach(forth('v4', 17, 54))) === JSON.stringify([[SERVER.device]]),
    );
    rmSync(folder, { recursive: true });
  });

  it('read again on SIGHUP', async () => {
    const child = agent.start();
    await agent.until(({ enforced }) => enforced);
    const { readAt } = (await agent.status()).source;
    child.kill('SIGHUP');
    await agent.until(({ source }) => source.readAt !== readAt);
  });
});

describe('drift', () => {
  it('of any kind is healed, and said who did it', async () => {
    await agent.run();
    for (const [what, text] of [
      ['a flush of everything', 'flush ruleset'],
      ['our table deleted', 'delete table inet portcullis'],
      ['an element added', 'add element inet portcullis macs { "tapother00-00" . fa:16:3e:00:00:99 }'],
      ['an element deleted', `delete element inet portcullis macs { "${CLIENT.device}" . ${CLIENT.mac} }`],
      ['a chain emptied', 'flush chain inet portcullis egress'],
      ['a rule added', 'add rule inet portcullis egress_stateful accept'],
      ['a set of somebody', 'add set inet portcullis foreign { type ipv4_addr; }'],
    ] as const) {
      step(what);
      const { drift, lastTransaction: before } = await agent.status();
      const said = agent.log().length;
      await lab.must('nft', [text]);
      await agent.until((status) => status.drift.foreign > drift.foreign);
      await agent.until(
        ({ lastTransaction: last }) =>
          last?.at !== before?.at && /^changed by nft|taken back$/.test(last?.reason ?? ''),
      );
      await agent.until(({ settled }) => settled);
      expect([what, await differs()]).toEqual([what, 0]);
      const line = agent
        .log()
        .slice(said)
        .find(({ msg }) => msg.includes('changed by somebody else'));
      expect([what, line?.['program']]).toEqual([what, 'nft']);
    }
  });

  it('of other tables is none of ours', async () => {
    await agent.run();
    await lab.load('table inet pctest_foreign {\nchain c {\ntcp dport 1 accept\n}\n}');
    const foreign = (await lab.exec('nft', ['list', 'table', 'inet', 'pctest_foreign'])).stdout;
    await agent.settled(pairDocument([allow('udp', 54)]));
    expect((await lab.exec('nft', ['list', 'table', 'inet', 'pctest_foreign'])).stdout).toBe(foreign);
    expect((await agent.status()).drift.foreign).toBe(0);
    await lab.load('delete table inet pctest_foreign');
  });

  it('is noticed by a watcher that dies and comes again', async () => {
    await agent.run();
    process.kill(agent.watcher(), 'SIGKILL');
    await eventually(() => agent.log().some(({ msg }) => msg.includes('the watching process ended')));
    // Once as it is lost, and once as the next one is there: from then on it hears again.
    await eventually(() => agent.log().filter(({ reason }) => reason === 'notices were lost').length === 2);
    await lab.must('nft', ['flush ruleset']);
    await agent.until(({ drift }) => drift.foreign > 0);
    await eventually(async () => (await differs()) === 0);
  });
});

describe('devices', () => {
  const THIRD = { device: 'tapother00-00', mac: 'fa:16:3e:00:00:03', v4: '10.0.0.3', v6: 'fd00::3' };
  const known = [portFields(CLIENT, ['clients'], HERE), portFields(SERVER, ['servers'], HERE)];
  const shot = { device: THIRD.device, frame: ipFrame(THIRD.mac, THIRD.v4, SERVER.v4, ports(17, 30_000, 53)) };

  it('a port finds its device by the alias, and follows it', async () => {
    const third = { ...portFields(THIRD, ['clients'], HERE), id: 'ffffffff-0000-4000-8000-000000000000' };
    agent.write(pairDocument([allow('udp', 53)], { ports: [...known, third] }));
    await agent.run();
    const isOn = async (device: string): Promise<boolean> =>
      (await agent.status()).ports.find(({ id }) => id === third.id)?.device === device;
    const alias = async (text: string): Promise<void> => {
      await lab.must('ip', ['link', 'set', THIRD.device, 'alias', text]);
      // A device that is down tells of no alias until it comes up.
      await lab.must('ip', ['link', 'set', THIRD.device, 'down']);
      await lab.must('ip', ['link', 'set', THIRD.device, 'up']);
    };
    expect(await isOn('tapffffffff-00')).toBe(true);
    expect(await reach(shot)).toEqual([[]]);
    await alias(`port:${third.id}`);
    await eventually(async () => isOn(THIRD.device));
    await eventually(async () => JSON.stringify(await reach(shot)) === JSON.stringify([[SERVER.device]]));
    await alias('');
    await eventually(async () => isOn('tapffffffff-00'));
    await eventually(async () => (await differs()) === 0);
    expect(await reach(shot)).toEqual([[]]);
  });

  it('an alias does not take the device of another port', async () => {
    const third = { ...portFields(THIRD, ['clients'], HERE), id: 'ffffffff-0000-4000-8000-000000000000' };
    agent.write(pairDocument([allow('udp', 53)], { ports: [...known, third] }));
    await lab.must('ip', ['link', 'set', SERVER.device, 'alias', `port:${third.id}`]);
    await agent.run();
    expect((await agent.status()).ports.map(({ device }) => device)).toEqual([
      CLIENT.device,
      SERVER.device,
      'tapffffffff-00',
    ]);
    await lab.must('ip', ['link', 'set', SERVER.device, 'alias', '']);
  });

  it('more news than the kernel keeps: the watching process ends, and every device is seen all the same', async () => {
    const third = { ...portFields(THIRD, ['clients'], HERE), id: 'ffffffff-0000-4000-8000-000000000000' };
    agent.write(pairDocument([allow('udp', 53)], { ports: [...known, third] }));
    await agent.run();
    const watcher = agent.watcher();
    stopProcess(watcher);
    // Some 2 KiB each: more than the largest buffer that the watching process asks for.
    const rounds = Array.from({ length: 25_000 }, (_none, n) => `link set ${THIRD.device} alias x${n.toString()}`);
    const last = [`link set ${THIRD.device} alias port:${third.id}`];
    await lab.must('ip', ['-batch', '-'], [...rounds, ...last].join('\n'));
    try {
      process.kill(watcher, 'SIGCONT');
    } catch {
      // Where all that took long the agent has ended it, since it said nothing.
    }
    await eventually(() => agent.log().some(({ msg }) => /^the watching process .*ended/.test(msg)));
    await agent.until(({ ports: shown }) => shown.some(({ id, device }) => id === third.id && device === THIRD.device));
    await eventually(async () => JSON.stringify(await reach(shot)) === JSON.stringify([[SERVER.device]]));
    await lab.must('ip', ['link', 'set', THIRD.device, 'alias', '']);
  });

  it('that no port is known for passes nothing, from before the port to after it', async () => {
    await agent.run();
    expect(await reach(shot)).toEqual([[]]);
    const third = portFields(THIRD, ['clients'], HERE);
    await agent.settled(pairDocument([allow('udp', 53)], { ports: [...known, third] }));
    expect(await reach(shot)).toEqual([[SERVER.device]]);
    await agent.settled(pairDocument([allow('udp', 53)], { ports: known }));
    expect(await reach(shot)).toEqual([[]]);
  });
});

describe('faults', () => {
  /** An nft of its own in front of the real one, for an agent whose transactions it makes. */
  function wrappedNft(script: string): Readonly<Record<string, string>> {
    const folder = mkdtempSync(join(agent.folder, 'bin-'));
    writeFileSync(join(folder, 'nft'), `#!/bin/sh\n${script}\n`);
    chmodSync(join(folder, 'nft'), 0o755);
    return { PATH: `${folder}${delimiter}${process.env['PATH'] ?? ''}`, PORTCULLIS_TRANSACTIONS: 'nft' };
  }
  const REAL = '/usr/sbin/nft';

  it.each([
    ['nft is missing', {}, ['env', 'PATH=/nonexistent'], 'the nft program is missing'],
    ['nft is too old', { PATH: 'old' }, [], 'nft 0.9.8 is too old: 1.0.6 or newer is needed'],
    [
      'no CAP_NET_ADMIN',
      {},
      ['setpriv', '--bounding-set', '-net_admin', '--inh-caps', '-net_admin'],
      'needs root (CAP_NET_ADMIN)',
    ],
  ])('%s: one line, exit 4', async (_what, env, wrapper, line) => {
    const path = 'PATH' in env && env.PATH === 'old' ? wrappedNft('echo "nftables v0.9.8 (x)"') : env;
    agent.start({ env: path, wrapper: [...wrapper] });
    expect([await agent.ended(), agent.told().length]).toEqual([4, 1]);
    expect(agent.output).toContain(line);
  });

  it('a kernel without connection tracking on bridges: one line says what to load, exit 4; with it, bridges are enforced', async () => {
    const probe = 'table bridge pctest_probe {\nchain c {\nct state established accept\n}\n}\n';
    const hasTracking = (await lab.exec('nft', ['--check', '-f', '-'], probe)).exitCode === 0;
    agent.start({ args: ['--datapath', 'bridge'] });
    if (hasTracking) await agent.until(({ enforced }) => enforced);
    else {
      expect([await agent.ended(), agent.told().length]).toEqual([4, 1]);
      expect(agent.output).toContain('modprobe nf_conntrack_bridge');
      const load = ['dist/bin/portcullis.js', 'compile', '-t', agent.path, '--host', HOST, '--datapath', 'bridge'];
      const { exitCode, stderr } = await lab.exec(process.execPath, load);
      expect([exitCode, stderr.includes('modprobe nf_conntrack_bridge')]).toEqual([4, true]);
    }
    expect((await lab.exec('nft', ['list', 'tables'])).stdout).not.toContain('portcullis_probe');
  });

  it('bridge-netfilter without br_netfilter at work: one line says what to set, exit 4', async () => {
    await lab.must('sysctl', ['-qw', 'net.bridge.bridge-nf-call-ip6tables=0']);
    agent.start({ args: ['--datapath', 'bridge-netfilter'] });
    expect([await agent.ended(), agent.told().length]).toEqual([4, 1]);
    expect(agent.output).toContain('sysctl -w net.bridge.bridge-nf-call-ip6tables=1');
    await lab.must('sysctl', ['-qw', 'net.bridge.bridge-nf-call-ip6tables=1']);
  });

  it('br_netfilter that is switched off under a running agent: its health and its metrics say so, too', async () => {
    await agent.run({ args: ['--datapath', 'bridge-netfilter'] });
    expect((await agent.ask('/metrics')).body).toContain('\nportcullis_enforced 1\n');
    await lab.must('sysctl', ['-qw', 'net.bridge.bridge-nf-call-iptables=0']);
    const { ports } = await agent.until(({ enforced }) => !enforced);
    expect(ports.map(({ state }) => state)).toEqual(['pending', 'pending']);
    const { code, body } = await agent.ask('/health');
    expect([code, body]).toEqual([
      503,
      expect.stringMatching(/^not enforced: net\.bridge\.bridge-nf-call-iptables is off/),
    ]);
    expect((await agent.ask('/metrics')).body).toContain('\nportcullis_enforced 0\n');
    await lab.must('sysctl', ['-qw', 'net.bridge.bridge-nf-call-iptables=1']);
    await agent.until(({ enforced }) => enforced);
    expect((await agent.ask('/health')).code).toBe(200);
  });

  it('one port that the kernel refuses is closed and named; the others change on; it comes back', async () => {
    // What it takes without the port waits until it is let.
    const script = `input=$(cat)
case "$input" in *10.0.0.2*udp*|*"goto profile"*poison*|*sg_poison*) echo "Error: Could not process rule: Invalid argument" >&2; exit 1;; esac
case "$*" in "-f -") while [ -d ${agent.folder} ] && [ ! -e ${agent.folder}/go ]; do sleep 0.05; done;; esac
printf '%s\\n' "$input" | exec ${REAL} "$@"`;
    const groups = (rules: readonly Rule[]): Readonly<Record<string, unknown>> => ({
      ...pairDocument(rules),
      security_groups: [
        { id: 'clients', name: 'clients', security_group_rules: EGRESS },
        { id: 'poison', name: 'poison', security_group_rules: rules },
      ],
      ports: [portFields(CLIENT, ['clients'], HERE), portFields(SERVER, ['poison'], HERE)],
    });
    agent.write(groups([allow('udp', 53)]));
    agent.start({ env: wrappedNft(script) });
    const isRefused = ({ state }: { readonly state: string }): boolean => state === 'refused';
    expect(await agent.until(({ ports }) => ports.some(isRefused))).toMatchObject({ enforced: false });
    writeFileSync(join(agent.folder, 'go'), '');
    const status = await agent.until(({ enforced }) => enforced);
    expect(status.ports.map(({ device, state }) => [device, state])).toEqual([
      [CLIENT.device, 'enforced'],
      [SERVER.device, 'refused'],
    ]);
    expect(status.ports[1]?.lastError).toContain('Invalid argument');
    const out = { device: CLIENT.device, frame: ipFrame(CLIENT.mac, CLIENT.v4, '192.0.2.1', ports(17, 1, 2)) };
    expect((await lab.shoot([out]))[0]?.passedEgress).toBe(true);
    expect(await reach(forth('v4', 17, 53))).toEqual([[]]);
  });

  it('a kernel that is busy for a while: the former rules stand, and then the new ones come', async () => {
    const script = `case "$*" in *"-f -"*) if [ -e ${agent.folder}/busy ]; then cat >/dev/null; echo "netlink: Error: Could not process rule: Device or resource busy" >&2; exit 1; fi;; esac
exec ${REAL} "$@"`;
    agent.start({ env: wrappedNft(script) });
    await agent.until(({ enforced }) => enforced);
    writeFileSync(join(agent.folder, 'busy'), '');
    agent.write(pairDocument([allow('udp', 54)]));
    await agent.until(({ enforced, lastError }) => !enforced && lastError?.includes('busy') === true);
    expect(await reach(forth('v4', 17, 53))).toEqual([[SERVER.device]]);
    rmSync(join(agent.folder, 'busy'));
    await agent.until(({ enforced }) => enforced);
    expect(await differs()).toBe(0);
  });

  it('an answer that was lost: what is there is read back, and nothing is done twice', async () => {
    const script = `${REAL} "$@"; code=$?
case "$*" in *"-f -"*) if [ -e ${agent.folder}/lose ]; then rm ${agent.folder}/lose; echo "netlink: Error: No buffer space available" >&2; exit 1; fi;; esac
exit $code`;
    agent.start({ env: wrappedNft(script) });
    await agent.until(({ enforced }) => enforced);
    writeFileSync(join(agent.folder, 'lose'), '');
    agent.write(pairDocument([allow('udp', 54)]));
    await eventually(() => agent.log().some(({ msg }) => msg.includes('No buffer space')));
    await agent.until(({ enforced }) => enforced);
    expect(await differs()).toBe(0);
  });

  it('a wall clock that jumps changes nothing: neither a year forth nor two back', async () => {
    const clock = join(agent.folder, 'clock');
    const set = (days: number): void => {
      writeFileSync(`${clock}.next`, `${days < 0 ? '' : '+'}${days.toString()}d`);
      renameSync(`${clock}.next`, clock);
    };
    set(0);
    const env = {
      FAKETIME_TIMESTAMP_FILE: clock,
      FAKETIME_NO_CACHE: '1',
      DONT_FAKE_MONOTONIC: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
    };
    const library = (await execa('sh', ['-c', 'ls /usr/lib/*/faketime/libfaketimeMT.so.1'])).stdout;
    agent.start({ env, wrapper: ['env', `LD_PRELOAD=${library}`] });
    const { pid } = await agent.until(({ enforced }) => enforced);
    onTestFinished(() => {
      forgetFaketime(pid);
    });
    const day = 86_400_000;
    let port = 54;
    const jump = async (days: number): Promise<object> => {
      const before = agent.log().length;
      // To and fro while a change is under way, and for good.
      let turns = 0;
      const jumping = setInterval(() => {
        set(turns++ % 2 === 0 ? days : 0);
      }, 10);
      await agent.settled(pairDocument([allow('udp', ++port)])).finally(() => {
        clearInterval(jumping);
      });
      set(days);
      const [, age = ''] = /^portcullis_source_age_seconds (.*)$/m.exec((await agent.ask('/metrics')).body) ?? [];
      expect(age).toSatisfy((seconds) => Number(seconds) >= 0 && 1000 * Number(seconds) < day);
      await agent.settled(pairDocument([allow('udp', ++port)]));
      const isThen = (at: string | undefined): boolean =>
        Math.abs(Date.parse(at ?? '') - Date.now() - days * day) < day;
      const { lastTransaction, source } = await agent.until(({ lastTransaction: last }) => isThen(last?.at));
      expect(await reach(forth('v4', 17, port))).toEqual([[SERVER.device]]);
      const said = agent.log().slice(before);
      const took = said.map(({ milliseconds }) => milliseconds).filter((value) => value !== undefined);
      expect(took.length).toBeGreaterThan(0);
      for (const value of took) expect(value).toSatisfy((one) => Number(one) >= 0 && Number(one) < day);
      return { way: lastTransaction?.way, since: source.staleSince, said: said.filter(({ level }) => level >= 40) };
    };
    const nothing = { way: 'changes', since: undefined, said: [] };
    for (const days of [400, -800]) {
      let changed = await jump(days);
      // A machine on which a second passes for want of time says so once; what a jump causes comes with each.
      for (let tries = 0; tries < 4 && !isDeepStrictEqual(changed, nothing); tries++) {
        await jump(0);
        changed = await jump(days);
      }
      expect(changed).toEqual(nothing);
    }
  });

  it.each([
    ['no folder', '/proc/no', []],
    [
      'a full disk',
      '/run/portcullis-test',
      [
        'unshare',
        '-m',
        'sh',
        '-c',
        'mkdir -p $0 && mount -t tmpfs -o nr_inodes=1 tmpfs $0 && exec "$@"',
        '/run/portcullis-test',
      ],
    ],
  ])('a status socket that cannot be made (%s): enforcement goes on', async (_what, folder, wrapper) => {
    agent.start({ args: ['--socket', join(folder, 'agent.sock')], wrapper });
    await eventually(() => agent.log().some(({ level, msg }) => level === 50 && msg.startsWith('the status socket')));
    await eventually(() => agent.log().some(({ msg }) => msg === 'applied'));
    // On a slow machine what closes until the policy is there goes a moment after it has come.
    await eventually(
      async () => JSON.stringify(await reach(forth('v4', 17, 53))) === JSON.stringify([[SERVER.device]]),
    );
    rmSync('/run/portcullis-test', { recursive: true, force: true });
  });

  it('killed at random instants of its work, it converges at the next start and leaves nothing behind', async () => {
    for (let round = 0; round < 20; round++) {
      agent.start();
      for (let change = 0; change < 4; change++) {
        agent.write(pairDocument([allow('udp', 53), allow('tcp', 1000 + 10 * round + change)]));
        await setTimeout(round % 5 === 0 ? 5 : (37 * (round + change)) % 120);
      }
      await agent.end('SIGKILL');
      // Whatever was loaded lets through what every version allows.
      if (round > 3) expect(await reach(forth('v4', 17, 53))).toEqual([[SERVER.device]]);
    }
    agent.write(OPEN);
    await agent.run();
    await agent.until(({ enforced }) => enforced);
    expect(await differs()).toBe(0);
  });
});

describe('audit', () => {
  it('passes and counts what would be dropped, says so loudly, and becomes enforcement in one transaction', async () => {
    await agent.run({ args: ['--audit'] });
    expect(await reach(forth('v4', 17, 54))).toEqual([[SERVER.device]]);
    const status = await agent.status();
    expect([status.audit, status.enforced]).toEqual([true, false]);
    expect(agent.log().some(({ msg }) => msg.includes('NOTHING IS ENFORCED'))).toBe(true);
    const ping: Transport = { kind: 'icmp', protocol: 58, type: 128, code: 0 };
    await reach({ device: CLIENT.device, frame: ipFrame(CLIENT.mac, CLIENT.v6, SERVER.v6, ping) });
    await reach({ device: CLIENT.device, frame: ipFrame(CLIENT.mac, '10.0.0.99', SERVER.v4, ports(17, 9, 9)) });
    const counted = async (): Promise<StatsReport> => {
      const args = ['dist/bin/portcullis.js', 'stats', '--json', '--socket', agent.socket];
      return JSON.parse((await lab.exec(process.execPath, args)).stdout) as StatsReport;
    };
    const { mode, drops, audited, since } = await counted();
    expect([mode, drops, since?.isEarlier]).toEqual(['audit', [], false]);
    const between = { from: { id: 'client00-00', name: '' }, to: { id: 'server00-00', name: '' } };
    const policy = { ...between, device: SERVER.device, chain: 'profile_in', because: 'no rule allows it' };
    const spoofed = { chain: 'source4', device: CLIENT.device, source: '10.0.0.99', because: 'spoofed IPv4 source' };
    for (const flow of [
      { ...policy, source: CLIENT.v4, protocol: 17, port: 54 },
      { ...policy, source: CLIENT.v6, protocol: 58, port: 128 << 8 },
      spoofed,
    ]) {
      expect(audited.flows).toContainEqual(expect.objectContaining({ ...flow, packets: 1 }));
    }
    expect((await agent.ask('/metrics')).body).toContain('portcullis_dropped_packets_total{direction="ingress"} 0\n');
    await agent.end();
    const before = Number(await generation());
    await agent.run();
    expect(Number(await generation())).toBe(before + 1);
    const enforced = await counted();
    expect(enforced).toMatchObject({
      mode: 'enforcing',
      since: { isEarlier: true },
      audited: { drops: [], flows: [] },
    });
    expect(enforced.drops.filter(({ device }) => device === SERVER.device)).toEqual([]);
    await lab.forgetFlows();
    expect(await reach(forth('v4', 17, 54))).toEqual([[]]);
  });
});
