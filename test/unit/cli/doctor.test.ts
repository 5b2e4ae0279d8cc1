/** Facts in, findings out: what `portcullis doctor` makes of what its readers saw. What they see on a real host: kernel/doctor.test.ts. */
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, it, onTestFinished } from 'vitest';
import { crashOf, type BaseChain, type NftFacts, type ProgramResult } from '../../../agent/index.js';
import { compile, DEFAULT_OPTIONS, flowBits, type Datapath } from '../../../compiler/index.js';
import { judgeAgent, readStatus, type AgentFacts, type ReadStatus } from '../../../src/cli/doctor/agent-state.js';
import { aheadOf, judgeClock } from '../../../src/cli/doctor/clock.js';
import { judgeDevices } from '../../../src/cli/doctor/devices.js';
import { judgeRoom } from '../../../src/cli/doctor/disk.js';
import { judgeFeatures } from '../../../src/cli/doctor/features.js';
import { failed, ok, warning, worstOf, type Finding } from '../../../src/cli/doctor/finding.js';
import { judgeFirewalls } from '../../../src/cli/doctor/firewalls.js';
import { bitsUsed, judgeMarks } from '../../../src/cli/doctor/marks.js';
import { judgeNft, judgeNode, LEAST_NODE } from '../../../src/cli/doctor/programs.js';
import { capabilitiesIn, judgeRights, secretsIn } from '../../../src/cli/doctor/rights.js';
import { renderFindings } from '../../../src/cli/doctor/render.js';
import { runChecks } from '../../../src/cli/doctor/run-checks.js';
import { devicesIn4, devicesIn6, judgeSettings, type SettingsFacts } from '../../../src/cli/doctor/settings.js';
import { EMPTY_TOPOLOGY } from '../../../compiler/model/index.js';

const results = (findings: readonly Finding[]): readonly string[] => findings.map(({ result }) => result);
const optionsOf = (datapath: Datapath): typeof DEFAULT_OPTIONS => ({ ...DEFAULT_OPTIONS, datapath });

it('a check that throws, hangs or says nothing cannot be told, and keeps no other from its answer', async () => {
  const findings = await runChecks(
    [
      { name: 'throws', look: async () => Promise.reject(new Error('broken')) },
      {
        name: 'throws at once',
        look: () => {
          throw new Error('at once');
        },
      },
      { name: 'hangs', look: async () => new Promise<never>(() => undefined) },
      { name: 'is silent', look: async () => Promise.resolve([]) },
      { name: 'is well', look: async () => Promise.resolve([ok('well')]) },
    ],
    20,
  );
  expect(findings.map(({ check, result, reason }) => [check, result, reason])).toEqual([
    ['throws', 'unknown', 'broken'],
    ['throws at once', 'unknown', 'at once'],
    ['hangs', 'unknown', 'no answer within 0.02 s'],
    ['is silent', 'unknown', 'it said nothing'],
    ['is well', 'ok', 'well'],
  ]);
  expect(worstOf(findings)).toBe('unknown');
  expect(worstOf([failed('broken'), ...findings])).toBe('failed');
  expect(worstOf([warning('odd'), ok('well')])).toBe('warning');
});

it('Node is as new as package.json says', () => {
  const { engines } = JSON.parse(readFileSync('package.json', 'utf8')) as {
    readonly engines: { readonly node: string };
  };
  expect(engines.node).toBe(`>=${LEAST_NODE.join('.')}`);
  expect(['18.20.4', '20.18.3', '20.19.0', '22.1.0'].map((version) => judgeNode(version).result)).toEqual([
    'failed',
    'failed',
    'ok',
    'ok',
  ]);
});

const ended = (stdout: string, code = 0, stderr = ''): ProgramResult => ({
  kind: 'ended',
  pid: 1,
  stdout,
  stderr,
  code,
});
const GOOD_NFT: NftFacts = {
  version: ended('nftables v1.0.6 (Lester Gooch #5)\n'),
  nonsense: ended('', 1, 'Error: No such file or directory'),
  trial: ended('begins\ntable inet trial {\n\tchain kept {\n\t\tcounter packets 0 bytes 0 accept\n\t}\n}\n'),
  culprit: undefined,
};
const HANGS: ProgramResult = { kind: 'late', seconds: 5 };

it.each<[string, Partial<NftFacts>, Finding['result'], string]>([
  ['that does what it says', {}, 'ok', 'nft 1.0.6, and it does what it says'],
  ['that is not there', { version: { kind: 'not-started', code: 'ENOENT' } }, 'failed', 'is missing'],
  ['that is old', { version: ended('nftables v1.0.2 (x)') }, 'failed', 'nft 1.0.2 is too old: 1.0.6'],
  ['that prints anything', { version: ended('hello') }, 'failed', 'that no nft says'],
  ['that hangs at once', { version: HANGS }, 'failed', '--version hangs: no answer in 5 s'],
  ['that hangs on its input', { nonsense: HANGS }, 'failed', '--check -f - hangs'],
  ['that hangs when it loads', { trial: HANGS }, 'failed', 'of its own hangs'],
  ['that says yes to everything', { nonsense: ended('') }, 'failed', 'yes to what no kernel takes'],
  ['that loads nothing', { trial: ended('begins\n') }, 'failed', 'says that it loaded a table, and it is not there'],
  ['that cannot load', { trial: ended('begins\n', 1, 'no\nmore') }, 'failed', 'empty network namespace: no'],
  [
    'that crashes',
    { nonsense: ended('', 139), culprit: 'set s of table ip t' },
    'failed',
    'it cannot read set s of table ip t',
  ],
  [
    'in a place without namespaces',
    { trial: ended('', 1, 'unshare: no\n') },
    'ok',
    'loading was not tried: unshare: no',
  ],
])('of an nft %s that is said', (_what, facts, result, reason) => {
  const finding = judgeNft({ ...GOOD_NFT, ...facts }, { crashOf, trialBegins: 'begins', trialTable: 'trial' });
  expect(finding).toMatchObject({ result, reason: expect.stringContaining(reason) as unknown });
  expect(finding.mend === undefined).toBe(result === 'ok');
});

it('a kernel lacks what the datapath needs, or what another one would', () => {
  const tried = [
    { name: 'connection tracking on bridges', neededBy: ['bridge'], module: 'nf_conntrack_bridge', isThere: false },
    { name: 'table inet', neededBy: ['routed', 'bridge'], module: 'nf_tables', isThere: true },
  ] as const;
  expect(judgeFeatures(tried, 'routed')).toMatchObject([
    { result: 'ok', reason: expect.stringContaining('not needed for it: connection tracking on bridges') as unknown },
  ]);
  expect(judgeFeatures(tried, 'bridge')).toMatchObject([
    { result: 'failed', mend: expect.stringContaining('modprobe nf_conntrack_bridge') as unknown },
  ]);
});

const chain = (family: string, hook: string, priority: number, more: Partial<BaseChain> = {}): BaseChain => ({
  ...{ family, hook, priority, table: 'other', chain: 'c', type: 'filter', policy: 'accept' },
  ...more,
});

it.each<[Datapath, BaseChain, readonly string[], string]>([
  [
    'routed',
    chain('ip', 'forward', 0, { policy: 'drop' }),
    ['warning'],
    'table ip other, chain c (forward 0), between ours, has the policy drop',
  ],
  ['routed', chain('ip6', 'prerouting', -200, { policy: 'drop' }), ['warning'], 'before ours'],
  ['routed', chain('inet', 'postrouting', 300, { policy: 'drop' }), ['warning'], 'behind ours'],
  ['routed', chain('netdev', 'ingress', 0, { policy: 'drop' }), ['warning'], 'before ours'],
  ['routed', chain('ip', 'input', 0, { policy: 'drop' }), ['ok'], 'no chain of others is at the hooks'],
  ['routed', chain('bridge', 'forward', 0, { policy: 'drop' }), ['ok'], 'no chain of others'],
  ['bridge', chain('bridge', 'forward', 0, { policy: 'drop' }), ['warning'], 'between ours'],
  ['routed', chain('inet', 'forward', 0, { policy: 'drop', table: 'portcullis' }), ['ok'], 'no chain of others'],
  ['routed', chain('ip', 'prerouting', -100, { type: 'nat' }), ['ok'], 'chain c (prerouting -100) between ours'],
  ['routed', chain('ip', 'prerouting', -190, { type: 'nat' }), ['warning'], 'translates destinations before ours'],
  ['routed', chain('ip', 'postrouting', 100, { type: 'nat' }), ['ok'], 'chain c (postrouting 100) behind ours'],
  ['routed', chain('ip', 'postrouting', -10, { type: 'nat' }), ['warning'], 'translates sources before ours'],
])('where guests are %s, %j of others: %j', (datapath, foreign, result, reason) => {
  const options = optionsOf(datapath);
  const ours = compile(EMPTY_TOPOLOGY, () => false, options).ruleset.tables;
  const findings = judgeFirewalls({ chains: [foreign], ours, dropping: new Map(), legacy: [], untold: [] }, options);
  expect(results(findings)).toEqual(result);
  expect(findings[0]?.reason).toContain(reason);
});

it('a chain that drops by policy and accepts what comes from and goes to guests is well, and what is lacking is what mends it', () => {
  const foreign = chain('ip', 'forward', 0, { policy: 'drop' });
  const judge = (listing: string): readonly Finding[] => {
    const dropping = new Map([['ip other c', listing]]);
    return judgeFirewalls({ chains: [foreign], ours: [], dropping, legacy: [], untold: [] }, DEFAULT_OPTIONS);
  };
  const from = '\t\tiifname "tap*" accept\n';
  const to = '\t\toifname "tap*" counter packets 0 bytes 0 accept\n';
  expect(judge('')[0]?.mend).toBe(
    `nft insert rule ip other c iifname '"tap*"' accept; nft insert rule ip other c oifname '"tap*"' accept`,
  );
  expect(judge(from)[0]?.mend).toBe(`nft insert rule ip other c oifname '"tap*"' accept`);
  expect(judge(`${from}${to}`)).toMatchObject([{ result: 'ok' }]);
  expect(judge(`${from}\t\tip saddr 10.0.0.1 ${to.trim()}`)).toMatchObject([{ result: 'warning' }]);
});

it('what drops in iptables-legacy is named, and what stands beside iptables-nft', () => {
  const rules = '*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n-A FORWARD -i eth0 -j ACCEPT\nCOMMIT\n';
  const judge = (legacy: string, chains: readonly BaseChain[], untold: readonly string[] = []): readonly Finding[] =>
    judgeFirewalls(
      { chains, ours: [], dropping: new Map(), legacy: [{ program: 'iptables-legacy', rules: legacy }], untold },
      DEFAULT_OPTIONS,
    );
  expect(judge(rules, [])).toEqual([
    {
      result: 'warning',
      reason: expect.stringContaining('iptables-legacy, table filter, chain FORWARD has the policy DROP') as unknown,
      mend: 'iptables-legacy -t filter -I FORWARD -i tap+ -j ACCEPT; iptables-legacy -t filter -I FORWARD -o tap+ -j ACCEPT',
    },
  ]);
  const mended = `${rules}-A FORWARD -i tap+ -j ACCEPT\n-A FORWARD -o tap+ -j ACCEPT\n`;
  expect(judge(mended, [])).toMatchObject([{ result: 'ok' }]);
  const ofNft = chain('ip', 'forward', 0, { table: 'filter', chain: 'FORWARD' });
  expect(judge(rules.replace('FORWARD DROP', 'FORWARD ACCEPT'), [ofNft])).toMatchObject([
    { reason: expect.stringContaining('beside those of iptables-nft') as unknown },
  ]);
  expect(
    judge('*mangle\n:FORWARD ACCEPT [0:0]\n-A PREROUTING -j pc-egress\n-A pc-egress -j ACCEPT\n', [ofNft]),
  ).toMatchObject([{ result: 'ok' }]);
  expect(results(judge('', [], ['the rules of iptables-legacy']))).toEqual(['unknown']);
});

it.each<[string, number, number]>([
  ['ct mark set 0x00000007', 0xffffffff, 0],
  ['ct mark set meta mark & 0x000000ff', 0xffffffff, 0],
  ['ct mark set ct mark & 0xffffff05 | 0x00000005', 0xff, 0],
  ['ct mark set ct mark | 0x20000000 accept', 0x20000000, 0],
  ['counter packets 0 bytes 0 ct mark set ct mark xor 0x5 and 0xffffff00', 0xff, 0],
  ['ct mark 0x00000005 accept', 0, 0xffffffff],
  ['ct mark & 0x000000ff == 0x00000001 accept', 0, 0xff],
  ['ct mark and 0x70000000 == 0x10000000 counter packets 0 bytes 0', 0, 0x70000000],
  ['meta mark set ct mark', 0, 0xffffffff],
  ['ct mark & 0x00000070 != 0x00000000 ct mark set ct mark ^ 0x00000005', 5, 0x70],
  ['ct state established accept', 0, 0],
  ['-A FORWARD -m connmark --mark 0x10000000/0x70000000 -j CONNMARK --set-xmark 0x5/0xff', 0xff, 0x70000000],
  ['-A FORWARD -m connmark ! --mark 0x5 -j ACCEPT', 0, 0xffffffff],
  ['-A FORWARD -j CONNMARK --set-xmark 0x5/0xffffffff', 0xffffffff, 0],
  ['-A FORWARD -j CONNMARK --save-mark --nfmask 0xff --ctmask 0xff', 0xff, 0],
  ['-A FORWARD -j CONNMARK --restore-mark --nfmask 0xff --ctmask 0xff', 0, 0xff],
  ['-A FORWARD -j ACCEPT', 0, 0],
])('%s: which bits of the mark', (rule, written, read) => {
  expect(bitsUsed(rule)).toEqual({ written, read });
});

it('rules of others that use our bits are named with their place, what cannot be listed is doubt', () => {
  const nft = [
    'table ip qos {\n\tchain f {\n\t\ttype filter hook forward priority 0; policy accept;\n\t\tct mark set ct mark & 0xffffff05 | 0x00000005\n\t\tct mark set 0x00000005\n\t\tnotrack\n\t\tflow add @fast\n\t}\n\tchain pc-admit_out {\n\t\tct mark set 0x20000000\n\t}\n}\n',
  ];
  const bits = flowBits(DEFAULT_OPTIONS);
  const findings = judgeMarks({ nft, iptables: [], untold: ['nft table ip odd'] }, bits);
  expect(results(findings)).toEqual(['warning', 'warning', 'warning', 'unknown']);
  expect(findings[0]?.reason).toMatch(/^writes our bits .*: nft table ip qos, chain f: ct mark set 0x00000005$/);
  expect(judgeMarks({ nft: [], iptables: [], untold: [] }, bits)).toMatchObject([
    { result: 'ok', reason: expect.stringContaining('0x70000000') as unknown },
  ]);
});

const SETTINGS: SettingsFacts = {
  bridgeCalls: [{ name: 'net.bridge.bridge-nf-call-iptables', state: 'on' }],
  forwards: { IPv4: true, IPv6: true },
  routed: { IPv4: ['tap1'], IPv6: ['tap1'] },
  strict: [],
};

it.each<[Datapath, Partial<SettingsFacts>, readonly string[], string]>([
  ['routed', {}, ['ok'], 'as --datapath routed wants them'],
  ['routed', { forwards: { IPv4: false, IPv6: true } }, ['warning'], 'net.ipv4.ip_forward is off'],
  ['routed', { forwards: { IPv4: true, IPv6: false } }, ['warning'], 'net.ipv6.conf.all.forwarding is off'],
  ['routed', { forwards: { IPv4: false, IPv6: false }, routed: { IPv4: [], IPv6: [] } }, ['ok'], ''],
  ['routed', { strict: ['tap1'] }, ['warning'], 'rp_filter is strict on tap1'],
  ['routed', { bridgeCalls: [{ name: 'b', state: 'off' }] }, ['ok'], ''],
  ['bridge-netfilter', {}, ['ok'], ''],
  ['bridge-netfilter', { bridgeCalls: [{ name: 'b', state: 'off' }] }, ['failed'], 'b is off'],
  ['bridge-netfilter', { bridgeCalls: [{ name: 'b', state: 'missing' }] }, ['failed'], 'lacks br_netfilter'],
])('where guests are %s, settings %j: %j', (datapath, facts, result, reason) => {
  const findings = judgeSettings({ ...SETTINGS, ...facts }, optionsOf(datapath));
  expect(results(findings)).toEqual(result);
  expect(findings[0]?.reason).toContain(reason);
});

it('routes of /proc/net are those of devices, without what the kernel makes by itself', () => {
  expect(devicesIn4('Iface\tDestination\tGateway\ntap1\t0100000A\t0\ntap1\t0200000A\t0\neth0\t0\t0\n')).toEqual([
    'tap1',
    'eth0',
  ]);
  const zeros = '0'.repeat(32);
  const route = (destination: string, device: string): string =>
    `${destination.padEnd(32, '0')} 40 ${zeros} 00 ${zeros} 00000100 00000001 00000000 00000001     ${device}`;
  expect(devicesIn6([route('fe80', 'tap1'), route('ff00', 'tap2'), route('fd00', 'tap3')].join('\n'))).toEqual([
    'tap3',
  ]);
});

const STATUS: ReadStatus = {
  ...{ version: '1', pid: 7, datapath: 'routed', backend: 'nftables', audit: false, enforced: true },
  source: { name: 'file:x' },
  formerDevices: ['tapgone'],
  ports: [
    { id: 'p1', name: 'web', device: 'tap1', isDevicePresent: true },
    { id: 'p2', name: '', device: 'tap2', isDevicePresent: false },
  ],
};
const agentWith = (more: Partial<ReadStatus> = {}): AgentFacts => ({ kind: 'answers', status: { ...STATUS, ...more } });
const AROUND = { socket: '/s', version: '1', isLoaded: true, taps: ['tap1'] };

it.each<[AgentFacts, Partial<typeof AROUND>, readonly string[], string]>([
  [agentWith(), {}, ['ok'], 'version 1, process 7, enforced'],
  [agentWith({ enforced: false, lastError: 'why' }), {}, ['failed'], 'not enforced: why'],
  [agentWith({ audit: true, enforced: false }), {}, ['warning'], 'nothing is enforced'],
  [agentWith({ enforced: false }), { version: '2' }, ['failed', 'warning'], 'not enforced'],
  [agentWith({ lateSince: 'noon' }), {}, ['failed'], 'a change waits since noon'],
  [
    agentWith({ source: { name: 'api:x', staleSince: 'noon', problems: ['401'] } }),
    {},
    ['warning'],
    'since noon, the last good state stays: 401',
  ],
  [agentWith({ source: { name: 'api:x', staleSince: 'noon' } }), {}, ['warning'], 'api:x is stale since noon'],
  [
    agentWith({ isolated: [{ object: 'port p1', consequence: 'closed', isHere: true }] }),
    {},
    ['warning'],
    'isolated: port p1: closed',
  ],
  [agentWith({ isolated: [{ object: 'port p1', consequence: 'closed', isHere: false }] }), {}, ['ok'], 'enforced'],
  [
    agentWith({ isolated: Array(3).fill({ object: 'port p1', consequence: 'closed', isHere: true }) }),
    {},
    ['warning'],
    'isolated: port p1: closed, and 2 more',
  ],
  [agentWith(), { version: '2' }, ['warning'], 'of version 1, this program of 2'],
  [{ kind: 'silent', why: 'late' }, {}, ['failed'], 'it hangs'],
  [{ kind: 'silent', why: 'EACCES' }, {}, ['unknown'], 'may not be asked'],
  [{ kind: 'silent', why: 'ENOENT' }, {}, ['warning'], 'rules are loaded and stay'],
  [{ kind: 'silent', why: 'ENOENT' }, { isLoaded: false }, ['failed'], '1 devices of guests are open'],
  [{ kind: 'silent', why: 'ENOENT' }, { isLoaded: false, taps: [] }, ['ok'], 'none is at work'],
  [readStatus('{"version": 1}'), {}, ['unknown'], 'is no agent that this program knows'],
  [readStatus('no JSON'), {}, ['unknown'], 'is no agent that this program knows'],
  [readStatus(JSON.stringify({ ...STATUS, more: 1 })), {}, ['ok'], 'enforced'],
])('of an agent %j beside %j is said: %j', (facts, around, result, reason) => {
  const findings = judgeAgent(facts, { ...AROUND, ...around });
  expect(results(findings)).toEqual(result);
  expect(findings[0]?.reason).toContain(reason);
});

it('devices that are closed, that nobody filters, and ports without one are named', () => {
  const link = (name: string, kind = 'tun', master = 0): Parameters<typeof judgeDevices>[0][number] => ({
    index: name.length * 100 + (name.codePointAt(name.length - 1) ?? 0),
    name,
    alias: '',
    master,
    isUp: true,
    kind,
  });
  const judge = (names: readonly string[], facts: AgentFacts): readonly Finding[] =>
    judgeDevices(
      names.map((name) => link(name)),
      facts,
      DEFAULT_OPTIONS,
    );
  const well = agentWith({ ports: STATUS.ports.slice(0, 1) });
  expect(judge(['tap1', 'tapgone'], well)).toMatchObject([{ result: 'ok' }]);
  expect(judge(['tap1', 'tapother'], well)[0]?.reason).toContain('no port is known for them: tapother');
  expect(judge(['tap1', 'vnet3'], well)[0]?.reason).toContain('not filtered, though they look like guests’: vnet3');
  expect(judge(['tap1'], agentWith())[0]?.reason).toBe('ports without a device: p2 (tap2)');
  const nobody: AgentFacts = { kind: 'silent', why: 'ENOENT' };
  expect(judge(['tap1'], nobody)).toMatchObject([{ result: 'unknown' }]);
  expect(judge([], nobody)).toMatchObject([{ result: 'ok' }]);
  expect(judgeDevices([link('eth0', ''), link('uplink0', 'veth')], nobody, DEFAULT_OPTIONS)).toMatchObject([
    { result: 'ok' },
  ]);
});

it('rights: the capability, the folder, and files that the agent’s options name as secret', () => {
  const all = {
    capabilities: capabilitiesIn('Name:\tnode\nCapEff:\t000001ffffffffff\n'),
    folder: undefined,
    unwritable: undefined,
    exposed: [],
  };
  expect(results(judgeRights(all))).toEqual(['ok']);
  expect(judgeRights({ ...all, capabilities: capabilitiesIn('CapEff:\t0000000000000000\n') })).toMatchObject([
    { result: 'failed', mend: expect.stringContaining('root') as unknown },
  ]);
  expect(results(judgeRights({ ...all, folder: { path: '/r', owner: 0, mode: 0o40755 } }))).toEqual(['ok']);
  expect(results(judgeRights({ ...all, folder: { path: '/r', owner: 0, mode: 0o40777 } }))).toEqual(['failed']);
  expect(results(judgeRights({ ...all, folder: { path: '/r', owner: 1000, mode: 0o40755 } }))).toEqual(['failed']);
  expect(judgeRights({ ...all, exposed: [{ path: '/k', why: 'others may read it' }] })).toMatchObject([
    { result: 'warning', mend: 'chmod 600 /k' },
  ]);
  expect(judgeRights({ ...all, unwritable: { path: '/s', why: 'EROFS' } })).toMatchObject([
    { result: 'warning', reason: 'no status socket can be made in /s: EROFS' },
  ]);
  expect(() => capabilitiesIn('')).toThrow('does not say');
  const words = [
    'node',
    'portcullis.js',
    'agent',
    '--etcd-key',
    '/a.key',
    '--tls-key=/b.key',
    '--host',
    'h',
    '--source-token',
    '',
  ];
  expect(secretsIn(words.join('\0'))).toEqual(['/a.key', '/b.key', '']);
});

it('the clock is compared with that of a server, and who keeps it is asked only where that fails', async () => {
  let offset = 0;
  const server = createServer((_request, response) => {
    response.writeHead(401, { date: new Date(Date.now() + offset).toUTCString() }).end();
  });
  onTestFinished(() => void server.close());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port.toString()}`;
  const judged = async (): Promise<Finding> => judgeClock({ kind: 'compared', url, ahead: await aheadOf(url) });
  expect(await judged()).toMatchObject({ result: 'ok' });
  offset = 3_600_000;
  expect(await judged()).toMatchObject({
    result: 'warning',
    reason: expect.stringMatching(/^3\d{3} s behind that of http/) as unknown,
  });
  offset = -3_600_000;
  expect(await judged()).toMatchObject({
    result: 'warning',
    reason: expect.stringMatching(/^3\d{3} s ahead of that of http/) as unknown,
  });
  const kept = (isSynchronised: boolean | undefined): string =>
    judgeClock({ kind: 'kept', isSynchronised, why: '' }).result;
  expect([kept(true), kept(false), kept(undefined)]).toEqual(['ok', 'warning', 'unknown']);
  expect(judgeClock({ kind: 'not-needed' }).result).toBe('ok');
});

it('a disk that is full, or nearly, or has no files left', () => {
  const room = (free: number, freeFiles?: number): readonly string[] =>
    results(judgeRoom([{ path: '/run', free, freeFiles }]));
  expect([room(1e9), room(1e9, 10), room(1e7), room(1000), room(1e9, 0)]).toEqual([
    ['ok'],
    ['ok'],
    ['warning'],
    ['failed'],
    ['failed'],
  ]);
});

it('what others named does nothing on a terminal, and stays on its line', () => {
  const finding = { check: 'devices', ...warning('port "we\u001b[2Jb\nok  nft"', 'release "\u009b2J"') };
  expect(renderFindings([finding], { red: String, green: String, yellow: String })).toEqual([
    'warning      devices  port "we\\u{1b}[2Jb\\u{a}ok  nft"',
    '                      to mend it: release "\\u{9b}2J"',
  ]);
});
