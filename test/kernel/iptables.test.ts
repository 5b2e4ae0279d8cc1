/** The policy in iptables and ipset, by either of the programs, and the agent on it: accepted, and judged by the oracle. */
import { execa } from 'execa';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { eventually } from '../support/waiting.js';
import {
  DEFAULT_OPTIONS,
  hostPolicy,
  iptablesProgram,
  planIptables,
  type HostPolicy,
  type IptablesProgram,
} from '../../compiler/index.js';
import type { StatsReport } from '../../src/cli/stats/report.js';
import { parseTopology } from '../../compiler/model/index.js';
import { agentOptions, agentSuite, differs, lifeSuite } from './lab/agent-suite.js';
import { environment, type LabBackend } from './lab/flavour.js';
import { flowsSuite } from './lab/flows-suite.js';
import { liarsSuite } from './lab/liars-suite.js';
import { Lab, type Shot } from './lab/lab.js';
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
  SERVER,
  type Rule,
} from './lab/pair.js';
import { instantsSuite, policySuite } from './lab/policy-suite.js';
import { Streams } from './lab/streams.js';
import type { Datagram } from './lab/talker.js';
import { TestAgent } from './lab/test-agent.js';

const OTHER = { device: 'tapother000-00', mac: 'fa:16:3e:00:00:03', v4: '10.0.0.3', v6: 'fd00::3' };
const SIZE = { topologies: 6, frames: 240 };

describe.each<LabBackend>(['iptables-nft', 'iptables-legacy'])('%s', (backend) => {
  // Each has a lab of its own.
  describe.each(['routed', 'bridge-netfilter'] as const)('%s', (datapath) => {
    describe('random packets', () => {
      policySuite(datapath, SIZE, backend);
      liarsSuite(datapath, 6, backend);
    });
    describe('flows', () => {
      flowsSuite(datapath, backend);
    });
    describe('agent', () => {
      if (backend === 'iptables-nft' && datapath === 'bridge-netfilter') agentSuite(datapath, backend);
      else lifeSuite(datapath, backend);
    });
    // What follows is slow, and each program and each datapath meets it once.
    if ((backend === 'iptables-nft') !== (datapath === 'routed')) return;
    describe('the instants of a change', () => {
      instantsSuite(datapath, { topologies: 4, frames: 60 }, backend);
    });
    describe('named topologies', () => {
      let lab: Lab;
      beforeAll(async () => {
        lab = await Lab.create([], { backend });
      });
      afterAll(async () => {
        await lab.destroy();
      });

      it('each is loaded after others, read back as what was wanted, and taken away', async () => {
        const { exitCode, stdout, stderr } = await lab.exec(process.execPath, [
          'dist/test/kernel/lab/iptables-walk.js',
          datapath,
        ]);
        expect([exitCode, stdout], stderr).toEqual([0, '[]']);
      });
    });
  });

  describe('one host', () => {
    let lab: Lab;
    let agent: TestAgent;
    beforeAll(async () => {
      lab = await Lab.create([...PAIR, { device: OTHER.device, addresses: [OTHER.v4, OTHER.v6], mac: OTHER.mac }], {
        backend,
      });
    });
    afterAll(async () => {
      await lab.destroy();
    });
    beforeEach(async () => {
      await lab.forgetFlows();
      agent = new TestAgent(lab.host);
    });
    afterEach(async () => {
      await agent.destroy();
    });

    const command = async (...args: readonly string[]): Promise<number> =>
      (await lab.exec(process.execPath, ['dist/bin/portcullis.js', ...args])).exitCode;
    const rulesWithCounters = async (): Promise<string> =>
      (await lab.exec('iptables-save', ['--counters'])).stdout
        .split('\n')
        .filter((line) => line.includes(' pc-'))
        .join('\n');

    it('a member comes as one entry of a set: no rule is written, and no counter lost', async () => {
      const friend = (address: string): Rule => ({
        id: `${address}-friend`,
        mac_address: 'fa:16:3e:00:00:77',
        network_id: 'network',
        fixed_ips: [{ ip_address: address }],
        security_groups: ['friends'],
        'binding:host_id': 'elsewhere',
      });
      const document = (...friends: readonly string[]): Rule => ({
        security_groups: [
          { id: 'clients', security_group_rules: EGRESS },
          {
            id: 'servers',
            security_group_rules: [allow('udp', 53), { direction: 'ingress', remote_group_id: 'friends' }],
          },
          { id: 'friends' },
        ],
        ports: [portFields(CLIENT, ['clients'], HERE), portFields(SERVER, ['servers'], HERE), ...friends.map(friend)],
      });
      agent.write(document('10.9.0.1'));
      // A verification that comes together with a change takes it along.
      const args = ['--datapath', 'routed', '--backend', 'iptables', '--verify', '86400'];
      await agent.run({ args, env: environment(backend) });
      const before = await rulesWithCounters();
      expect(before).toContain('pc-sg_servers_in');
      const entries = async (): Promise<readonly string[]> =>
        (await lab.exec('ipset', ['save', 'pc-sg_friends_addresses4'])).stdout
          .split('\n')
          .filter((line) => line.startsWith('add'));
      expect(await entries()).toHaveLength(1);
      const rules = (text: string): string => text.replaceAll(/^\[\d+:\d+\] /gm, '');
      const total = (text: string): number =>
        [...text.matchAll(/^\[(\d+):/gm)].reduce((sum, [, packets]) => sum + Number(packets), 0);
      const dropped = async (): Promise<number> =>
        Number(/dropped_packets_total\{direction="ingress"\} (\d+)/.exec((await agent.ask('/metrics')).body)?.[1]);
      const droppedBefore = await dropped();
      await reachIn(lab, forth('v4', 17, 53), forth('v4', 17, 54));
      const counted = await rulesWithCounters();
      expect(total(counted)).toBeGreaterThan(total(before));
      expect(await dropped()).toBeGreaterThan(droppedBefore);
      await agent.settled(document('10.9.0.1', '10.9.0.2'));
      await eventually(async () => (await entries()).length === 2);
      expect(agent.log().findLast(({ msg }) => msg === 'applied')?.['way']).toBe('changes');
      const after = await rulesWithCounters();
      expect(rules(after)).toBe(rules(before));
      expect(total(after)).toBeGreaterThanOrEqual(total(counted));
      await agent.settled(document());
      await eventually(async () => (await entries()).length === 0);
      expect(await differs(lab, agent, 'routed')).toBe(0);
    });

    it('what enters a set as a rule for it goes, or leaves it as one comes, never gets through', async () => {
      const world = (rule: boolean, member: typeof CLIENT): Rule => ({
        security_groups: [
          { id: 'clients', security_group_rules: EGRESS },
          {
            id: 'servers',
            security_group_rules: rule ? [{ direction: 'ingress', remote_group_id: 'friends' }] : [],
          },
          // Keeps the set when the servers do not name it.
          { id: 'friends', security_group_rules: [{ direction: 'ingress', remote_group_id: 'friends' }] },
        ],
        ports: [
          portFields(CLIENT, member === CLIENT ? ['clients', 'friends'] : ['clients']),
          portFields(SERVER, ['servers']),
          portFields(OTHER, member === OTHER ? ['clients', 'friends'] : ['clients']),
        ],
      });
      const programOf = (document: Rule): { policy: HostPolicy; program: IptablesProgram } => {
        const { topology } = parseTopology([{ file: 'test', content: document }]);
        const policy = hostPolicy(topology, () => true, DEFAULT_OPTIONS);
        return { policy, program: iptablesProgram(policy, DEFAULT_OPTIONS) };
      };
      const fromOther: Shot = {
        device: OTHER.device,
        frame: ipFrame(OTHER.mac, OTHER.v4, SERVER.v4, ports(17, 30_001, 53)),
      };
      for (const [from, to, shot] of [
        // The client was a member before there was a rule, the other one comes when there is none.
        [world(false, CLIENT), world(true, OTHER), forth('v4', 17, 53)],
        [world(true, CLIENT), world(false, OTHER), fromOther],
      ] as const) {
        const [before, after] = [programOf(from), programOf(to)];
        await lab.loadPolicy(before.policy, DEFAULT_OPTIONS);
        const { steps } = planIptables(before.program, after.program);
        expect(steps.filter(({ kind }) => kind === 'sets')).toHaveLength(2);
        for (const step of steps) {
          expect(await reachIn(lab, shot)).toEqual([[]]);
          await lab.takeStep(step);
        }
        expect(await reachIn(lab, shot)).toEqual([[]]);
      }
    });

    it('what goes between two stateless ports is not tracked, and everything else is', async () => {
      const both = [allow('udp', 53), ...EGRESS];
      const document = {
        security_groups: [
          { id: 'clients', security_group_rules: EGRESS },
          { id: 'stateless', stateful: false, security_group_rules: both },
        ],
        ports: [portFields(CLIENT, ['clients']), portFields(SERVER, ['stateless']), portFields(OTHER, ['stateless'])],
      };
      const { topology } = parseTopology([{ file: 'test', content: document }]);
      await lab.loadPolicy(
        hostPolicy(topology, () => true, DEFAULT_OPTIONS),
        DEFAULT_OPTIONS,
      );
      const fromOther: Shot = {
        device: OTHER.device,
        frame: ipFrame(OTHER.mac, OTHER.v4, SERVER.v4, ports(17, 30_002, 53)),
      };
      const tracked = async (address: string): Promise<boolean> =>
        (await lab.exec('conntrack', ['-L'])).stdout.includes(`src=${address} `);
      expect(await reachIn(lab, fromOther)).toEqual([[SERVER.device]]);
      expect(await tracked(OTHER.v4)).toBe(false);
      // The client's own group lets the answer in by its state.
      expect(await reachIn(lab, forth('v4', 17, 53), back('v4', 17, 53))).toEqual([[SERVER.device], [CLIENT.device]]);
      expect(await tracked(CLIENT.v4)).toBe(true);
    });

    it('compile loads, says nothing to change the second time, and takes back what nobody confirms', async () => {
      const args = ['-t', agent.path, '--host', HOST, '--backend', 'iptables'];
      agent.write(pairDocument([allow('udp', 53)]));
      expect(await command('diff', ...args)).toBe(2);
      expect(await command('compile', ...args)).toBe(0);
      expect(await command('diff', ...args)).toBe(0);
      const before = await rulesWithCounters();
      expect(await command('compile', ...args)).toBe(0);
      expect(await rulesWithCounters()).toBe(before);
      agent.write(pairDocument([allow('udp', 54)]));
      expect(await command('compile', ...args, '--confirm', '1')).toBe(2);
      agent.write(pairDocument([allow('udp', 53)]));
      expect(await command('diff', ...args)).toBe(0);
      expect(await reachIn(lab, forth('v4', 17, 53), forth('v4', 17, 54))).toEqual([[SERVER.device], []]);
      const stats = ['dist/bin/portcullis.js', 'stats', '--json', '-t', agent.path, '--host', HOST];
      const { rules } = JSON.parse((await lab.exec(process.execPath, stats)).stdout) as StatsReport;
      const counted = rules.filter(({ packets, family }) => packets === 1 && family === 'ip');
      const letIn = { chain: 'pc-sg_servers_in', verdict: 'accept', group: { id: 'servers', name: 'servers' } };
      expect(counted).toContainEqual(expect.objectContaining(letIn));
      expect(counted).toContainEqual(expect.objectContaining({ verdict: 'drop', label: 'no rule allows it' }));
      expect(await command('flush')).toBe(0);
    });

    it('a step that is refused leaves the former policy, and says why', async () => {
      const load = async (document: Rule): Promise<void> => {
        const { topology } = parseTopology([{ file: 'test', content: document }]);
        await lab.loadPolicy(
          hostPolicy(topology, () => true, DEFAULT_OPTIONS),
          DEFAULT_OPTIONS,
        );
      };
      agent.write(pairDocument([allow('udp', 53)]));
      await load(pairDocument([allow('udp', 53)]));
      // A rule of somebody else's that leads to a chain of ours: the kernel does not let that chain go, and the rule is none that
      // we made.
      const rule = ['-p', 'udp', '-j', 'pc-sg_servers_in'];
      await lab.must('iptables', ['-w', '-t', 'mangle', '-N', 'theirs']);
      await lab.must('iptables', ['-w', '-t', 'mangle', '-A', 'theirs', ...rule]);
      await agent.run(agentOptions('routed', backend));
      agent.write({ ...pairDocument([]), ports: [portFields(CLIENT, ['clients'], HERE)] });
      const { lastError } = await agent.until((status) => !status.enforced && status.lastError !== undefined);
      expect(lastError).toMatch(/^iptables-restore /);
      expect(await reachIn(lab, forth('v4', 17, 53), forth('v4', 17, 54))).toEqual([[SERVER.device], []]);
      await lab.must('iptables', ['-w', '-t', 'mangle', '-D', 'theirs', ...rule]);
      await agent.until((status) => status.enforced);
      expect(await reachIn(lab, forth('v4', 17, 53))).toEqual([[]]);
      await lab.must('iptables', ['-w', '-t', 'mangle', '-X', 'theirs']);
    });

    it('a jump to ours in somebody else’s chain goes, and what else is there stays', async () => {
      agent.write(pairDocument([allow('udp', 53)]));
      await agent.run(agentOptions('routed', backend));
      await lab.must('iptables', ['-w', '-t', 'mangle', '-N', 'theirs']);
      await lab.must('iptables', ['-w', '-t', 'mangle', '-A', 'theirs', '-s', '192.0.2.1/32', '-j', 'DROP']);
      await lab.must('iptables', ['-w', '-t', 'mangle', '-A', 'theirs', '-j', 'pc-sg_servers_in']);
      const rules = async (): Promise<readonly string[]> =>
        (await lab.must('iptables', ['-w', '-t', 'mangle', '-S', 'theirs'])).trim().split('\n');
      await eventually(async () => (await rules()).length === 2);
      expect(await rules()).toEqual(['-N theirs', '-A theirs -s 192.0.2.1/32 -j DROP']);
      for (const option of ['-F', '-X']) await lab.must('iptables', ['-w', '-t', 'mangle', option, 'theirs']);
    });
  });

  describe('a host that moves', () => {
    let streams: Streams;
    let agent: TestAgent;
    beforeAll(() => {
      streams = new Streams();
      agent = new TestAgent(streams.host);
    });
    afterAll(async () => {
      await agent.destroy();
      streams.destroy();
    });

    const listing = async (program: string, ...args: readonly string[]): Promise<string> => {
      const command = ['netns', 'exec', streams.host, program, ...args];
      return (await execa('ip', command, { env: environment(backend) })).stdout;
    };

    it('goes from iptables to nftables and back, with no datagram lost or let through', async () => {
      for (const guest of [CLIENT, SERVER]) await streams.plug(guest);
      agent.write(pairDocument([allow('udp', 53), allow('udp', 53, { ethertype: 'IPv6' })]));
      const [iptables, nftables] = [agentOptions('routed', backend), agentOptions('routed', 'nftables')];
      await agent.run(iptables);
      await streams.spray([53, 54], 2);
      for (const [how, gone] of [
        [nftables, /pc-/],
        [iptables, /chain egress_stateful/],
      ] as const) {
        await agent.end();
        const early = (await streams.drain()).received;
        await agent.run({ ...how, env: { ...iptables.env } });
        const key = ({ kind, number }: Datagram): string => `${kind}/${number.toString()}`;
        const toServer = (log: readonly Datagram[], port: number): readonly Datagram[] =>
          log.filter(({ kind }) => kind.startsWith(`${CLIENT.device} ${SERVER.device}`) && kind.endsWith(` ${port}`));
        const { sent, received } = await streams.collect((log) => toServer(log.sent, 53).length > 50);
        // Guests are asked one after the other: what was sent now may have been received before, or will be.
        const arrived = new Set([...early, ...received].map(key));
        const missing = (): readonly Datagram[] => toServer(sent, 53).filter((datagram) => !arrived.has(key(datagram)));
        await eventually(async () => {
          for (const late of (await streams.drain()).received) arrived.add(key(late));
          return missing().length === 0;
        }).catch(() => undefined);
        expect(missing()).toEqual([]);
        expect(toServer(sent, 54).filter((datagram) => arrived.has(key(datagram)))).toEqual([]);
        const loaded = `${await listing('iptables-save')}${await listing('ipset', 'save')}${await listing('nft', 'list', 'ruleset')}`;
        expect(loaded).not.toMatch(gone);
      }
      await agent.end();
      await listing(process.execPath, 'dist/bin/portcullis.js', 'flush');
      expect(`${await listing('iptables-save')}${await listing('ipset', 'save')}`).not.toContain('pc-');
      expect(await listing('nft', 'list', 'tables')).not.toContain('portcullis');
    });
  });
});
