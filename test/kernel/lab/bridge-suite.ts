/** What only bridges have: networks that overlap, flooding, the host's own address among the stations. */
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { compile, DEFAULT_OPTIONS, printRuleset, type Datapath } from '../../../compiler/index.js';
import { parseTopology } from '../../../compiler/model/index.js';
import { Lab, type LabPort, type Shot } from './lab.js';
import {
  allow,
  back,
  CLIENT,
  EGRESS,
  forth,
  ipFrame,
  OUTSIDE,
  PAIR,
  PAIR_BRIDGE,
  portFields,
  ports,
  reachIn,
  SERVER,
  type Rule,
} from './pair.js';
import { PYTHON } from '../../support/python.js';

/** The same addresses as the pair, in another network. */
const TWINS = [
  { ...CLIENT, device: 'taptwin0001-00', mac: 'fa:16:3e:00:01:01' },
  { ...SERVER, device: 'taptwin0002-00', mac: 'fa:16:3e:00:01:02' },
] as const;
const TWIN_BRIDGE = 'brqother';
/** The host's own address on the pair's bridge. */
const GATEWAY = '10.0.0.254';

function twin(shot: Shot): Shot {
  const index = shot.device === CLIENT.device ? 0 : 1;
  return { ...shot, device: TWINS[index].device, frame: { ...shot.frame, sourceMac: TWINS[index].mac } };
}

function rulesFor(datapath: Datapath, serverRules: readonly Rule[], twinRules: readonly Rule[] = serverRules): string {
  const { topology, problems } = parseTopology([
    {
      file: 'test',
      content: {
        security_groups: [
          { id: 'clients', security_group_rules: EGRESS },
          { id: 'servers', security_group_rules: serverRules },
          { id: 'twins', security_group_rules: twinRules },
        ],
        ports: [
          portFields(CLIENT, ['clients']),
          portFields(SERVER, ['servers']),
          portFields(TWINS[0], ['clients'], { network_id: 'other' }),
          portFields(TWINS[1], ['twins'], { network_id: 'other' }),
        ],
      },
    },
  ]);
  expect(problems).toEqual([]);
  return printRuleset(compile(topology, () => true, { ...DEFAULT_OPTIONS, datapath }).ruleset);
}

export function bridgeSuite(datapath: Datapath): void {
  const rules = (serverRules: readonly Rule[], twinRules?: readonly Rule[]): string =>
    rulesFor(datapath, serverRules, twinRules);
  let lab: Lab;
  beforeAll(async () => {
    const twins: readonly LabPort[] = TWINS.map(({ device, mac, v4, v6 }) => ({
      device,
      mac,
      addresses: [v4, v6],
      bridge: TWIN_BRIDGE,
    }));
    lab = await Lab.create([...PAIR, ...twins], { bridge: PAIR_BRIDGE });
    await lab.must('ip', ['address', 'add', `${GATEWAY}/24`, 'dev', PAIR_BRIDGE]);
    for (const { v4, mac } of [CLIENT, SERVER]) {
      await lab.must('ip', ['neighbour', 'replace', v4, 'lladdr', mac, 'dev', PAIR_BRIDGE, 'nud', 'permanent']);
    }
  });
  afterAll(async () => {
    await lab.destroy();
  });
  beforeEach(async () => {
    await lab.forgetFlows();
  });

  it('two networks with the same addresses share no flow', async () => {
    const open = [allow('udp', 53)];
    await lab.load(rules(open, []));
    expect(await reachIn(lab, forth('v4', 17, 53), back('v4', 17, 53))).toEqual([[SERVER.device], [CLIENT.device]]);
    // The same five numbers in the other network: no flow of theirs, and no rule.
    expect(await reachIn(lab, twin(forth('v4', 17, 53)))).toEqual([[]]);
    await lab.load(rules(open, open));
    expect(await reachIn(lab, twin(forth('v4', 17, 53)), twin(back('v4', 17, 53)))).toEqual([
      [TWINS[1].device],
      [TWINS[0].device],
    ]);
    const stdout = await lab.must('conntrack', ['-L', '-p', 'udp', '--dport', '53']);
    // Zone 0 is not named; the second network alone has one of its own.
    const zones = stdout.split('\n').filter((line) => line.includes('dport=53'));
    expect(new Set(zones.map((line) => /zone=(\d+)/.exec(line)?.[1] ?? '0')).size).toBe(2);
  });

  it('a spoofed frame teaches the bridge nothing (1732294)', async () => {
    await lab.load(rules([]));
    const stranger = 'fa:16:3e:00:00:99';
    const spoofed: readonly Shot[] = [
      { device: CLIENT.device, frame: ipFrame(stranger, CLIENT.v4, SERVER.v4, ports(17, 1, 2)) },
      { device: CLIENT.device, frame: ipFrame(stranger, '10.0.0.99', SERVER.v4, ports(17, 1, 2)) },
    ];
    expect(await reachIn(lab, ...spoofed)).toEqual([[], []]);
    expect((await lab.exec('bridge', ['fdb', 'show'])).stdout).not.toContain(stranger);
  });

  it("a port talks with the host's own address and gets answers", async () => {
    await lab.load(rules([]));
    await lab.load(`table bridge pctest_answers
delete table bridge pctest_answers
table bridge pctest_answers {
chain out { type filter hook postrouting priority 50; oifname "${CLIENT.device}" ip saddr ${GATEWAY} udp sport 53 counter; }
}`);
    const answer = `import socket;s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM);s.bind(("${GATEWAY}",53));s.settimeout(10);s.sendto(*s.recvfrom(99))`;
    const answered = lab.exec(PYTHON, ['-c', answer]);
    await lab.must('sh', ['-c', 'until ss -Hlun | grep -q :53; do sleep 0.05; done']);
    const mac = await lab.must('cat', [`/sys/class/net/${PAIR_BRIDGE}/address`]);
    const question: Shot = {
      device: CLIENT.device,
      frame: ipFrame(CLIENT.mac, CLIENT.v4, GATEWAY, ports(17, 30_004, 53)),
      destinationMac: mac.trim(),
    };
    await reachIn(lab, question);
    expect((await answered).exitCode).toBe(0);
    const stdout = await lab.must('nft', ['list', 'chain', 'bridge', 'pctest_answers', 'out']);
    expect(stdout).toContain('counter packets 1 ');
  });

  it('a tap that is taken off its bridge is closed', async () => {
    await lab.load(rules([]));
    const question: Shot = {
      device: CLIENT.device,
      frame: ipFrame(CLIENT.mac, CLIENT.v4, '192.0.2.254', ports(17, 30_005, 53)),
    };
    await lab.must('ip', ['address', 'add', '192.0.2.254/32', 'dev', 'lo']);
    await lab.must('ip', ['link', 'set', CLIENT.device, 'nomaster']);
    await lab.must('ip', ['route', 'add', CLIENT.v4, 'dev', CLIENT.device]);
    await lab.load(`table inet pctest_off
delete table inet pctest_off
table inet pctest_off {
chain in { type filter hook prerouting priority 50; iifname "${CLIENT.device}" counter; }
}`);
    const passed = async (): Promise<number> => {
      const mac = await lab.must('cat', [`/sys/class/net/${CLIENT.device}/address`]);
      await reachIn(lab, { ...question, destinationMac: mac.trim() });
      const stdout = await lab.must('nft', ['list', 'chain', 'inet', 'pctest_off', 'in']);
      return Number(/packets (\d+)/.exec(stdout)?.[1] ?? -1);
    };
    expect(await passed()).toBe(0);
    // It is that table which closes it.
    await lab.load('delete table inet portcullis');
    expect(await passed()).toBeGreaterThan(0);
    await lab.load('delete table inet pctest_off');
    await lab.must('ip', ['route', 'delete', CLIENT.v4, 'dev', CLIENT.device]);
    await lab.must('ip', ['link', 'set', CLIENT.device, 'master', PAIR_BRIDGE]);
    await lab.must('ip', ['address', 'delete', '192.0.2.254/32', 'dev', 'lo']);
  });

  it('what is flooded is judged for each port that it would reach', async () => {
    const rule = allow('udp', 53);
    await lab.load(rules([rule]));
    const broadcast: Shot = {
      device: CLIENT.device,
      frame: ipFrame(CLIENT.mac, CLIENT.v4, '10.0.0.255', ports(17, 30_001, 53)),
      destinationMac: 'ff:ff:ff:ff:ff:ff',
    };
    const outside: Shot = {
      device: undefined,
      frame: ipFrame('02:00:00:00:02:00', '192.0.2.9', '224.0.0.9', ports(17, 30_002, 53)),
    };
    const closed: Shot = {
      device: undefined,
      frame: ipFrame('02:00:00:00:02:00', '192.0.2.9', '224.0.0.9', ports(17, 30_003, 54)),
    };
    const [first, second, third] = await reachIn(lab, broadcast, outside, closed);
    expect(first).toEqual([SERVER.device, 'uplink0']);
    expect(second).toEqual([SERVER.device]);
    expect(third).toEqual([]);
  });

  it('the host as a station needs a rule to begin', async () => {
    await lab.load(`table bridge pctest_host
delete table bridge pctest_host
table bridge pctest_host {
chain out { type filter hook postrouting priority 50; ip saddr ${GATEWAY} udp sport 53 counter; }
}`);
    await lab.load(rules([allow('udp', 99)]));
    const passed = async (port: number): Promise<number> => {
      const send = `import socket;s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM);s.bind(("${GATEWAY}",53));s.sendto(b"x",("${SERVER.v4}",${port}))`;
      await lab.must(PYTHON, ['-c', send]);
      const stdout = await lab.must('nft', ['list', 'chain', 'bridge', 'pctest_host', 'out']);
      return Number(/packets (\d+)/.exec(stdout)?.[1] ?? -1);
    };
    expect([await passed(98), await passed(99)]).toEqual([0, 1]);
  });
}

const VLANS = { network: 101, other: 102 };

/** Two networks with the same addresses on one VLAN-aware bridge. */
export function vlanSuite(datapath: Datapath): void {
  const stations = [
    { guest: CLIENT, network: 'network', group: 'clients' },
    { guest: SERVER, network: 'network', group: 'servers' },
    { guest: TWINS[0], network: 'other', group: 'clients' },
    { guest: TWINS[1], network: 'other', group: 'twins' },
  ] as const;
  let lab: Lab;
  beforeAll(async () => {
    const members = stations.map(({ guest: { device, mac, v4, v6 } }) => ({ device, mac, addresses: [v4, v6] }));
    lab = await Lab.create(members, { bridge: PAIR_BRIDGE });
    await lab.must('ip', ['link', 'set', PAIR_BRIDGE, 'type', 'bridge', 'vlan_filtering', '1']);
    const vlan = async (...args: readonly string[]): Promise<void> => {
      const { exitCode, stderr } = await lab.exec('bridge', ['vlan', ...args]);
      expect([exitCode, stderr]).toEqual([0, '']);
    };
    for (const { guest, network } of stations) {
      await vlan('del', 'dev', guest.device, 'vid', '1');
      await vlan('add', 'dev', guest.device, 'vid', VLANS[network].toString(), 'pvid', 'untagged');
    }
    for (const id of Object.values(VLANS)) await vlan('add', 'dev', 'uplink0', 'vid', id.toString());
    const { topology, problems } = parseTopology([
      {
        file: 'test',
        content: {
          networks: Object.entries(VLANS).map(([id, segment]) => ({
            id,
            'provider:network_type': 'vlan',
            'provider:segmentation_id': segment,
          })),
          security_groups: [
            { id: 'clients', security_group_rules: EGRESS },
            { id: 'servers', security_group_rules: [allow('udp', 53)] },
            { id: 'twins', security_group_rules: [] },
          ],
          ports: stations.map(({ guest, network, group }) =>
            portFields(guest, [group], {
              network_id: network,
              'binding:vif_type': 'bridge',
              'binding:vif_details': { bridge_name: PAIR_BRIDGE },
            }),
          ),
        },
      },
    ]);
    expect(problems).toEqual([]);
    await lab.load(printRuleset(compile(topology, () => true, { ...DEFAULT_OPTIONS, datapath }).ruleset));
  });
  afterAll(async () => {
    await lab.destroy();
  });
  beforeEach(async () => {
    await lab.forgetFlows();
  });

  it('two networks of one VLAN-aware bridge share no flow', async () => {
    const to = (shot: Shot, { mac }: { readonly mac: string }): Shot => ({ ...shot, destinationMac: mac });
    // What the bridge does not know yet is flooded: to the uplink, too.
    const [asked, answered] = await reachIn(lab, to(forth('v4', 17, 53), SERVER), to(back('v4', 17, 53), CLIENT));
    expect(asked?.filter((device) => device !== 'uplink0')).toEqual([SERVER.device]);
    expect(answered?.filter((device) => device !== 'uplink0')).toEqual([CLIENT.device]);
    // The same five numbers in the other VLAN: no flow of theirs, and no rule.
    expect(await reachIn(lab, to(twin(back('v4', 17, 53)), TWINS[0]))).toEqual([[]]);
  });

  it('what comes tagged from elsewhere is of the flow of its own VLAN', async () => {
    const answer = (vlan: number, { mac }: { readonly mac: string }): Shot => ({
      device: undefined,
      frame: {
        ...ipFrame(OUTSIDE.mac, OUTSIDE.v4, CLIENT.v4, ports(17, 53, 30_000)),
        vlanTags: [vlan],
      },
      destinationMac: mac,
    });
    const question: Shot = {
      device: CLIENT.device,
      frame: ipFrame(CLIENT.mac, CLIENT.v4, OUTSIDE.v4, ports(17, 30_000, 53)),
      destinationMac: OUTSIDE.mac,
    };
    const answers = [answer(VLANS.network, CLIENT), answer(VLANS.other, TWINS[0])];
    expect(await reachIn(lab, ...answers)).toEqual([[], []]);
    const [asked, first, second] = await reachIn(lab, question, ...answers);
    expect(asked).toContain('uplink0');
    expect([first, second]).toEqual([[CLIENT.device], []]);
  });
}
