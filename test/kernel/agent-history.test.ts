/** What users of other agents met (numbers are of Launchpad bugs), so that ours does not do it. */
import { setTimeout } from 'node:timers/promises';
import { execa } from 'execa';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { eventually } from '../support/waiting.js';
import { eachWithAgent } from './lab/agent-lab.js';
import type { Lab } from './lab/lab.js';
import {
  allow,
  back,
  CLIENT,
  EGRESS,
  forth,
  HERE,
  HOST,
  ipFrame,
  PAIR,
  pairDocument,
  portFields,
  ports,
  reachIn,
  type Rule,
  SERVER,
} from './lab/pair.js';
import { Streams } from './lab/streams.js';
import type { Datagram, SprayLog } from './lab/talker.js';
import { TestAgent } from './lab/test-agent.js';

const BOTH = ['IPv4', 'IPv6'].map((ethertype) => allow('udp', 53, { ethertype }));

async function differs(host: string, agent: TestAgent): Promise<number | undefined> {
  const args = ['netns', 'exec', host, process.execPath, 'dist/bin/portcullis.js', 'diff', '-t', agent.path];
  return (await execa('ip', [...args, '--host', HOST], { reject: false })).exitCode;
}

describe('with frames', () => {
  let lab: Lab;
  let agent: TestAgent;
  eachWithAgent(PAIR, (one, its) => {
    [lab, agent] = [one, its];
    agent.write(pairDocument(BOTH));
  });

  it('a device that is not there is said to be absent (CVE-2017-5936: green, and nothing enforced)', async () => {
    const missing = portFields(
      { ...CLIENT, device: 'tapnowhere0-00', v4: '10.0.0.9', v6: 'fd00::9' },
      ['clients'],
      HERE,
    );
    const { ports: known } = pairDocument(BOTH) as { readonly ports: readonly Rule[] };
    agent.write(pairDocument(BOTH, { ports: [...known, missing] }));
    await agent.run();
    const shown = (await agent.status()).ports.map(({ device, isDevicePresent }) => [device, isDevicePresent]);
    expect(shown.sort()).toEqual([
      [CLIENT.device, true],
      ['tapnowhere0-00', false],
      [SERVER.device, true],
    ]);
    await lab.must('ip', ['link', 'set', CLIENT.device, 'down']);
    await lab.must('ip', ['link', 'set', CLIENT.device, 'name', 'renamed']);
    await agent.until(
      (status) => status.ports.find(({ device }) => device === CLIENT.device)?.isDevicePresent === false,
    );
    await lab.must('ip', ['link', 'set', 'renamed', 'name', CLIENT.device]);
    await lab.must('ip', ['link', 'set', CLIENT.device, 'up']);
    for (const port of PAIR) await lab.route(port);
    await agent.until((status) =>
      status.ports.every(({ device, isDevicePresent }) => isDevicePresent || device.includes('nowhere')),
    );
  });

  it('a remote group that is deleted takes its rules along (2008712)', async () => {
    const rule = { direction: 'ingress', protocol: 'udp', remote_group_id: 'clients' };
    agent.write(pairDocument([rule]));
    await agent.run();
    expect(await reachIn(lab, forth('v4', 17, 53))).toEqual([[SERVER.device]]);
    await agent.settled({
      security_groups: [
        { id: 'others', name: 'others', security_group_rules: EGRESS },
        { id: 'servers', name: 'servers', security_group_rules: [] },
      ],
      ports: [portFields(CLIENT, ['others'], HERE), portFields(SERVER, ['servers'], HERE)],
    });
    expect(await reachIn(lab, forth('v4', 17, 53))).toEqual([[]]);
    expect((await lab.exec('nft', ['list', 'sets'])).stdout).not.toContain('sg_clients');
    expect(await differs(lab.host, agent)).toBe(0);
  });

  it('an address pair that alone changes is a member at once, and its flow is cut when it goes', async () => {
    const vip = '10.0.0.77';
    const rule = { direction: 'ingress', protocol: 'udp', remote_group_id: 'clients' };
    const withPairs = (pairs: readonly Rule[]): Rule =>
      pairDocument([rule], {
        ports: [
          portFields(CLIENT, ['clients'], { ...HERE, allowed_address_pairs: pairs }),
          portFields(SERVER, ['servers'], HERE),
        ],
      });
    const shot = { device: CLIENT.device, frame: ipFrame(CLIENT.mac, vip, SERVER.v4, ports(17, 30_000, 53)) };
    agent.write(withPairs([]));
    await agent.run();
    expect(await reachIn(lab, shot)).toEqual([[]]);
    await agent.settled(withPairs([{ ip_address: vip }]));
    expect(await reachIn(lab, shot)).toEqual([[SERVER.device]]);
    await agent.settled(withPairs([]));
    expect(await reachIn(lab, shot)).toEqual([[]]);
  });

  it('another program that writes without a pause: every change lands, and none of it is taken for drift (1697833)', async () => {
    await agent.run();
    const script = `while :; do nft add table inet pctest_busy; nft add chain inet pctest_busy c; nft delete table inet pctest_busy; done`;
    const other = execa('ip', ['netns', 'exec', lab.host, 'sh', '-c', script], { reject: false });
    for (let change = 0; change < 20; change++)
      await agent.settled(pairDocument([...BOTH, allow('tcp', 1000 + change)]));
    other.kill('SIGKILL');
    await other;
    expect(await differs(lab.host, agent)).toBe(0);
    const { drift, lastError } = await agent.status();
    expect([drift.foreign, drift.found, lastError]).toEqual([0, 0, undefined]);
    // It may have been ended between any two of its steps.
    await lab.load('table inet pctest_busy\ndelete table inet pctest_busy');
  });

  it('a policy that changes without a pause is no drift, however often everything is compared', async () => {
    await agent.run({ args: ['--verify', '1'] });
    let change = 0;
    do {
      agent.write(pairDocument([...BOTH, allow('tcp', 1000 + (change++ % 50))]));
      await setTimeout(5);
    } while (agent.log().filter(({ reason }) => reason === 'verification').length < 4);
    expect((await agent.status()).drift).toMatchObject({ foreign: 0, found: 0 });
  });

  it('somebody else’s translation of addresses: what is judged is where the packet goes, and its flow is cut (1908957)', async () => {
    await lab.load(`table ip pctest_nat {
chain pre { type nat hook prerouting priority -100; policy accept; ip daddr 203.0.113.77 udp dport 5353 dnat to ${SERVER.v4}:53; }
}`);
    const shot = {
      device: CLIENT.device,
      frame: ipFrame(CLIENT.mac, CLIENT.v4, '203.0.113.77', ports(17, 30_000, 5353)),
    };
    await agent.run();
    expect(await reachIn(lab, shot, back('v4', 17, 53))).toEqual([[SERVER.device], [CLIENT.device]]);
    await agent.settled(pairDocument([]));
    await agent.until(({ flows }) => flows.revoked > 0);
    expect(await reachIn(lab, shot, back('v4', 17, 53))).toEqual([[], []]);
    await agent.settled(pairDocument(BOTH));
    expect(await reachIn(lab, shot, back('v4', 17, 53))).toEqual([[SERVER.device], [CLIENT.device]]);
    await lab.must('nft', ['delete', 'table', 'ip', 'pctest_nat']);
  });

  it('a table of ours in another layout, from another version, becomes the new one in one transaction, its ports closed before (1439817)', async () => {
    await lab.load(`table inet portcullis {
set sources4 { type ipv4_addr; flags interval; elements = { 10.0.0.0/8 } }
map from_port { type ifname : verdict; elements = { "${CLIENT.device}" : goto old } }
chain old { counter accept comment "an older version's"; }
chain egress { type filter hook prerouting priority 0; policy accept; iifname vmap @from_port; }
chain leftover { type filter hook forward priority 5; policy drop; }
}`);
    const generation = async (): Promise<number> =>
      Number((await lab.exec(process.execPath, ['dist/test/kernel/lab/generation.js'])).stdout);
    const before = await generation();
    await agent.run();
    const loads = agent.log().filter(({ msg }) => msg === 'applied');
    const closings = agent.log().filter(({ msg }) => msg.startsWith('closed until'));
    expect(loads.filter(({ reason }) => reason === 'start')).toHaveLength(1);
    // One, and the one before, which closes what the former map leads on (printBeforeReplacing). Where the start takes long it is closed
    // meanwhile and compared again: what the load met there then is mended in stages.
    const made = (await generation()) - before;
    if (closings.length === 0) expect(made).toBe(1 + loads.length);
    else expect(made).toBeLessThanOrEqual(closings.length + 4 * loads.length);
    expect(await differs(lab.host, agent)).toBe(0);
    expect(await reachIn(lab, forth('v4', 17, 53), forth('v4', 17, 54))).toEqual([[SERVER.device], []]);
  });
});

describe('with guests', () => {
  let streams: Streams;
  let agent: TestAgent;
  beforeEach(async () => {
    streams = new Streams();
    agent = new TestAgent(streams.host);
    await streams.plug(CLIENT);
  });
  afterEach(async () => {
    await agent.destroy();
    streams.destroy();
  });

  const arrivals = async (): Promise<number> => (await streams.drain()).received.length;
  /** What arrives of the next datagrams that are sent; enough of them for something to be among them that should not. */
  const arrivalsOfNext = async (): Promise<SprayLog['received']> => {
    // What was delivered before is not asked for.
    await streams.drain();
    return (await streams.collect(({ sent }) => sent.length >= 100)).received;
  };

  it('a device that is plugged under traffic passes nothing before its port is known (1734320)', async () => {
    const { ports: both } = pairDocument(BOTH) as { readonly ports: readonly Rule[] };
    agent.write(pairDocument(BOTH, { ports: both.slice(0, 1) }));
    await agent.run();
    await streams.plug(SERVER);
    await streams.spray([53], 2);
    expect(await arrivalsOfNext()).toEqual([]);
    agent.write(pairDocument(BOTH));
    await eventually(async () => (await arrivals()) > 0);
    await agent.settled(pairDocument(BOTH, { ports: both.slice(0, 1) }));
    expect((await agent.status()).ports).toHaveLength(1);
    expect(await arrivalsOfNext()).toEqual([]);
  });

  it('a device that goes and comes again while rules change, at any phase (1740885, 2089661)', async () => {
    agent.write(pairDocument(BOTH));
    await agent.run();
    await streams.plug(SERVER);
    for (let round = 0; round < 15; round++) {
      agent.write(pairDocument([...BOTH, allow('tcp', 1000 + round)]));
      await setTimeout((round * 7) % 60);
      streams.unplug(SERVER);
      await setTimeout((round * 11) % 30);
      await streams.plug(SERVER);
    }
    await streams.spray([53], 2);
    await eventually(async () => (await arrivals()) > 0);
    await agent.until(({ ports: shown }) => shown.every(({ isDevicePresent }) => isDevicePresent));
    expect(await differs(streams.host, agent)).toBe(0);
  });

  it('a device of the same name that is another port’s now: the old address is spoofed, the new one is not', async () => {
    await streams.plug(SERVER);
    const ofServer = (received: SprayLog['received']): SprayLog['received'] =>
      received.filter(({ kind }) => kind.startsWith(SERVER.device));
    const fromServer = async (): Promise<number> => ofServer((await streams.drain()).received).length;
    const next = { ...SERVER, mac: 'fa:16:3e:00:00:77', v4: '10.0.0.77', v6: 'fd00::77' };
    const withServer = (guest: typeof SERVER, id: string): Rule =>
      pairDocument(BOTH, {
        ports: [
          portFields(CLIENT, ['clients', 'servers'], HERE),
          { ...portFields(guest, ['clients', 'servers'], HERE), id, device: SERVER.device },
        ],
      });
    agent.write(withServer(SERVER, 'first-port'));
    await agent.run();
    await streams.spray([53], 2);
    await eventually(async () => (await fromServer()) > 0);
    await agent.settled(withServer(next, 'second-port'));
    expect(ofServer(await arrivalsOfNext())).toEqual([]);
    streams.unplug(SERVER);
    await streams.plug(next);
    await streams.spray([53], 2);
    await eventually(async () => (await fromServer()) > 0);
  });

  it.each([
    ['changed by the agent', 'agent'],
    ['loaded by compile', 'compile'],
  ] as const)('what the former rules and the new ones allow gets through a large change (%s)', async (_, by) => {
    // Of a concatenation with intervals that is new the kernel knows the elements only when all that goes is released.
    const many = Array.from({ length: 30_000 }, (__, index) => `10.128.${index >> 8}.${index & 255}/32`);
    const ranges = (['IPv4', 'IPv6'] as const).flatMap((ethertype) => [
      allow('udp', 53, { ethertype, port_range_max: 54 }),
      allow('udp', 60, { ethertype, port_range_max: 61 }),
    ]);
    const withMany = (rules: readonly Rule[], addresses: readonly string[]): Rule =>
      pairDocument([...rules, { direction: 'ingress', protocol: 'tcp', remote_address_group_id: 'many' }], {
        address_groups: [{ id: 'many', name: 'many', addresses }],
      });
    const compile = async (): Promise<void> => {
      const args = ['netns', 'exec', streams.host, process.execPath, 'dist/bin/portcullis.js', 'compile'];
      await execa('ip', [...args, '-t', agent.path, '--host', HOST]);
    };
    const [before, after] = [withMany(BOTH, many), withMany(ranges, [])];
    agent.write(before);
    await (by === 'agent' ? agent.run() : compile());
    await streams.plug(SERVER);
    await streams.spray([53], 1);
    const isOurs = ({ kind }: Datagram): boolean => kind.startsWith(`${CLIENT.device} ${SERVER.device}`);
    const first = await streams.collect(({ received }) => received.filter(isOurs).length > 100);
    agent.write(after);
    await (by === 'agent' ? agent.settled(after) : compile());
    const end = Number(process.hrtime.bigint() / 1_000_000n);
    // Those of each family are delivered in the order in which they were sent.
    const { sent, received } = await streams.collect((log) =>
      ['v4', 'v6'].every((family) =>
        log.received.some((datagram) => isOurs(datagram) && datagram.kind.includes(family) && datagram.at > end + 100),
      ),
    );
    // What was sent when the sender had been asked, and had arrived when the receiver was, is in the first log.
    const arrived = new Set([...first.received, ...received].filter(isOurs).map(({ number }) => number));
    const lost = sent.filter((datagram) => isOurs(datagram) && datagram.at < end && !arrived.has(datagram.number));
    expect(lost.map(({ kind, at }) => `${kind}: ${(end - at).toFixed(1)} ms before the end`)).toEqual([]);
    expect(await differs(streams.host, agent)).toBe(0);
  });

  it('connections between two guests of one host close in every way (1478925)', async () => {
    const open = pairDocument([allow('tcp', 7100)]);
    agent.write(open);
    await agent.run();
    await streams.plug(SERVER);
    for (const how of ['end', 'reset', 'half', 'both'] as const) {
      // What the rules do not let through is sent again and again, and never ends the connection.
      expect([how, await streams.close(CLIENT, SERVER, 7100, how)]).toEqual([how, 'closed']);
    }
  });
});
