/** More than one managed prefix: what begins with any of them and is no port's is closed, by every backend, and nothing else is. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { isBridged, type Datapath } from '../../compiler/index.js';
import { agentOptions, differs } from './lab/agent-suite.js';
import type { LabBackend } from './lab/flavour.js';
import { Lab, type Shot } from './lab/lab.js';
import { allow, HERE, ipFrame, PAIR_BRIDGE, pairDocument, portFields, ports, reachIn } from './lab/pair.js';
import { TestAgent } from './lab/test-agent.js';

const end = (device: string, number: number): { device: string; mac: string; v4: string; v6: string } => ({
  device,
  mac: `fa:16:3e:00:00:0${number.toString()}`,
  v4: `10.0.0.${number.toString()}`,
  v6: `fd00::${number.toString()}`,
});
const TAP = end('tapknown', 1);
const VNET = end('vnetknown', 2);
const UNKNOWN = [end('tapother', 3), end('vnetother', 4)];
/** Of no prefix: not ours. */
const FOREIGN = [end('other0', 5), end('other1', 6)];
const ALL = [TAP, VNET, ...UNKNOWN, ...FOREIGN];

const PREFIXES = ['--device-prefix', 'vnet', '--device-prefix', 'tap'];
const DOCUMENT = pairDocument([allow('udp', 53), { direction: 'egress' }], {
  ports: [TAP, VNET].map((port) => ({
    ...portFields(port, ['servers'], HERE),
    id: `${port.device}-0001`,
    device: port.device,
  })),
});

const shot = (from: typeof TAP, to: typeof TAP, port = 53): Shot => ({
  device: from.device,
  frame: ipFrame(from.mac, from.v4, to.v4, ports(17, 30_000, port)),
});
const [foreign = TAP, other = TAP] = FOREIGN;
/** To and from each device that no port is known for. */
const ofUnknown = UNKNOWN.flatMap((device) => [shot(device, foreign), shot(foreign, device)]);

describe.each<[Datapath, LabBackend]>([
  ['routed', 'nftables'],
  ['bridge-netfilter', 'nftables'],
  ['routed', 'iptables-nft'],
  ['bridge-netfilter', 'iptables-legacy'],
])('%s, %s', (datapath, backend) => {
  let lab: Lab;
  let agent: TestAgent;
  beforeAll(async () => {
    const devices = ALL.map(({ device, v4, v6, mac }) => ({ device, addresses: [v4, v6], mac }));
    lab = await Lab.create(devices, { backend, ...(isBridged(datapath) ? { bridge: PAIR_BRIDGE } : {}) });
  });
  afterAll(async () => {
    await lab.destroy();
  });
  beforeEach(async () => {
    await lab.renew();
    agent = new TestAgent(lab.host);
    agent.write(DOCUMENT);
  });
  afterEach(async () => {
    await agent.destroy();
  });

  it('the agent closes devices of each that are no port’s, and filters those that are', async () => {
    expect(await reachIn(lab, shot(foreign, other), ...ofUnknown)).not.toContainEqual([]);
    const options = agentOptions(datapath, backend);
    await agent.run({ ...options, args: [...(options.args ?? []), ...PREFIXES] });
    await lab.forgetFlows();
    expect(await reachIn(lab, ...ofUnknown)).toEqual(ofUnknown.map(() => []));
    expect(await reachIn(lab, shot(TAP, VNET), shot(VNET, TAP, 54), shot(foreign, other))).toEqual([
      [VNET.device],
      [],
      [other.device],
    ]);
    expect(await differs(lab, agent, datapath, PREFIXES)).toBe(0);
    expect((await agent.status()).notFiltered).not.toContainEqual(expect.stringMatching(/^(tap|vnet)/));
  });
});

it('the baseline closes devices of each that the file of options names, and no other; by a file that is half, the usual ones', async () => {
  const lab = await Lab.create(ALL.map(({ device, v4, v6, mac }) => ({ device, addresses: [v4, v6], mac })));
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-prefixes-'));
  const options = join(folder, 'portcullis.yaml');
  const portcullis = (...args: readonly string[]): readonly string[] => ['dist/bin/portcullis.js', ...args];
  const [ofTap, ofVnet] = [ofUnknown.slice(0, 2), ofUnknown.slice(2)];
  try {
    writeFileSync(options, 'agent:\n  device-prefix: [vn');
    const half = await lab.exec(process.execPath, portcullis('baseline', '--config', options));
    expect([half.exitCode, half.stderr]).toEqual([1, expect.stringContaining('ends within a line')]);
    expect(await reachIn(lab, ...ofTap)).toEqual([[], []]);
    expect(await reachIn(lab, ...ofVnet)).not.toContainEqual([]);
    await lab.must(process.execPath, portcullis('flush'));
    writeFileSync(options, 'agent:\n  device-prefix: [vnet, tap]\n');
    await lab.must(process.execPath, portcullis('baseline', '--config', options));
    expect(await reachIn(lab, ...ofUnknown, shot(foreign, other))).toEqual([
      ...ofUnknown.map(() => []),
      [other.device],
    ]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
    await lab.destroy();
  }
});
