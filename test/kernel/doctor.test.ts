/** `portcullis doctor` on a real host: what is wrong is named, and where nothing is, nothing is said to be. */
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { eventually } from '../support/waiting.js';
import { Lab } from './lab/lab.js';
import { allow, PAIR, pairDocument } from './lab/pair.js';
import { TestAgent } from './lab/test-agent.js';
import { WrappedNft } from './lab/wrapped-nft.js';

interface Said {
  readonly result: string;
  readonly findings: readonly {
    readonly check: string;
    readonly result: string;
    readonly reason: string;
    readonly mend?: string;
  }[];
}

let lab: Lab;
let agent: TestAgent;
beforeAll(async () => {
  lab = await Lab.create(PAIR);
  agent = new TestAgent(lab.host);
  agent.write(pairDocument([allow('udp', 53)]));
});
afterEach(async () => {
  await lab.load('table ip pctest_other\ndelete table ip pctest_other');
});
afterAll(async () => {
  await agent.destroy();
  await lab.destroy();
});

async function doctor(
  args: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
): Promise<{ readonly exitCode: number; readonly said: Said; readonly bad: readonly string[] }> {
  const { exitCode, stdout, stderr } = await lab.exec('env', [
    ...Object.entries(env).map(([name, value]) => `${name}=${value}`),
    ...[process.execPath, 'dist/bin/portcullis.js', 'doctor', '--json', '--socket', agent.socket, ...args],
  ]);
  expect(stderr).toBe('');
  const said = JSON.parse(stdout) as Said;
  const bad = said.findings
    .filter(({ result }) => result !== 'ok')
    .map(({ check, result, reason }) => `${check}: ${result}: ${reason}`);
  return { exitCode, said, bad };
}

const ALL = [
  ...['node', 'rights', 'nft', 'kernel', 'conntrack', 'settings'],
  ...['firewalls', 'marks', 'devices', 'clock', 'disk', 'agent'],
];

const OTHER = `table ip pctest_other {
  chain forward { type filter hook forward priority 5; policy drop; }
  chain qos {
    type filter hook prerouting priority -140
    ct mark set 0x5
    ct mark 0x5 accept
  }
}`;

it('names what others do to a host, to the agent’s log and to whoever asks, and nothing when it is undone', async () => {
  await lab.load(OTHER);
  await lab.must('sysctl', ['-qw', 'net.ipv4.ip_forward=0']);
  for (const device of ['vnet9', 'tapnoport']) {
    await lab.must('ip', ['link', 'add', device, 'type', 'veth', 'peer', 'name', `p${device}`]);
  }
  await agent.run();
  const mends = new Map<string, string>();
  const { exitCode, said, bad } = await doctor();
  for (const { check, mend } of said.findings) if (mend !== undefined) mends.set(check, mend);
  expect(bad).toEqual([
    expect.stringContaining('settings: warning: net.ipv4.ip_forward is off, and routes lead to tapclient00-00'),
    expect.stringContaining(
      'firewalls: warning: table ip pctest_other, chain forward (forward 5), between ours, has the policy drop',
    ),
    expect.stringContaining('nft table ip pctest_other, chain qos: ct mark set 0x00000005'),
    expect.stringContaining('nft table ip pctest_other, chain qos: ct mark 0x00000005 accept'),
    expect.stringContaining('devices: warning: not filtered, though they look like guests’: vnet9:'),
    expect.stringContaining('devices: warning: closed, since no port is known for them: tapnoport'),
  ]);
  expect([exitCode, said.result]).toEqual([16, 'warning']);

  await eventually(() => agent.output.includes('doctor: table ip pctest_other, chain forward'));
  expect(agent.output).toContain('doctor: net.ipv4.ip_forward is off');

  // What it says to do is what helps.
  await lab.must('sh', ['-c', mends.get('settings') ?? '']);
  await lab.must('sh', ['-c', mends.get('firewalls') ?? '']);
  await lab.load('flush chain ip pctest_other qos');
  for (const device of ['vnet9', 'tapnoport']) await lab.must('ip', ['link', 'delete', device]);
  await agent.until(({ notFiltered }) => notFiltered.length === 0);
  const healed = await doctor();
  expect(healed.bad).toEqual([]);
  expect([healed.exitCode, healed.said.result]).toEqual([0, 'ok']);
  expect(healed.said.findings.map(({ check }) => check)).toEqual(ALL);
});

it.each<[string, string, string, string]>([
  ['hangs', '*', 'exec sleep 100000', 'nft: failed: nft --version hangs'],
  ['prints anything', '*', 'echo nonsense; exit 0', 'nft: failed: nft answers something to --version that no nft says'],
  [
    'says yes and loads nothing',
    '"-f -"',
    'cat > /dev/null; exit 0',
    'nft: failed: nft says that it loaded a table, and it is not there',
  ],
])('an nft that %s is told, and not believed', async (_what, args, action, reason) => {
  const nft = new WrappedNft(agent.folder, args, action);
  nft.on();
  const { exitCode, bad } = await doctor([], nft.env);
  expect(bad).toEqual([
    expect.stringContaining(reason),
    'kernel: unknown: nft does not work',
    'marks: unknown: nft does not work',
  ]);
  expect(exitCode).toBe(15);
});

it('settings of br_netfilter that the datapath needs, and an agent that is not there', async () => {
  await lab.must('sysctl', ['-qw', 'net.bridge.bridge-nf-call-iptables=0']);
  const { exitCode, bad } = await doctor(['--datapath', 'bridge-netfilter', '--socket', `${agent.socket}.none`]);
  expect(bad).toEqual([
    expect.stringContaining('settings: failed: net.bridge.bridge-nf-call-iptables is off'),
    expect.stringContaining('devices: unknown: whether ports cover tapclient00-00, tapserver00-00: no agent answers'),
    expect.stringContaining('agent: warning: no agent answers at'),
  ]);
  expect(exitCode).toBe(15);
});
