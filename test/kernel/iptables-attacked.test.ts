/** iptables and ipset under others' hands: what is closed meanwhile, what is noticed, and what is put right. Nothing waits for a verification. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { isBridged } from '../../compiler/index.js';
import { eventually } from '../support/waiting.js';
import { differs } from './lab/agent-suite.js';
import { environment, type LabBackend } from './lab/flavour.js';
import { Lab } from './lab/lab.js';
import {
  allow,
  CLIENT,
  EGRESS,
  forth,
  HERE,
  PAIR,
  PAIR_BRIDGE,
  pairDocument,
  portFields,
  reachIn,
  SERVER,
  type Rule,
} from './lab/pair.js';
import { TestAgent, type AgentOptions, type LogLine } from './lab/test-agent.js';

const POLICY = pairDocument([allow('udp', 53), allow('udp', 53, { ethertype: 'IPv6' })]);
const BOTH = ['iptables', 'ip6tables'] as const;
const HOOKS = ['PREROUTING', 'POSTROUTING'] as const;

/** Arguments for the mangle table. */
type Command = readonly string[];

const everyHook = (option: string, verdict: string): readonly Command[] =>
  HOOKS.map((hook) => [option, hook, '-j', verdict]);

/** Rules of ours go, or are passed by. */
const ATTACKS: readonly (readonly [string, readonly Command[]])[] = [
  ['everything is flushed and removed', [['-F'], ['-X']]],
  ['the jump of egress is deleted', [['-D', 'PREROUTING', '-j', 'pc-egress']]],
  ['the jump of ingress is deleted', [['-D', 'POSTROUTING', '-j', 'pc-ingress']]],
  ['a group is emptied', [['-F', 'pc-sg_servers_in']]],
  ['something accepts before ours', everyHook('-I', 'ACCEPT')],
  ['something returns before ours', everyHook('-I', 'RETURN')],
  ['something accepts in a group of ours', [['-I', 'pc-sg_servers_in', '-j', 'ACCEPT']]],
];

describe.each<LabBackend>(['iptables-nft', 'iptables-legacy'])('%s', (backend) => {
  describe.each(['routed', 'bridge-netfilter'] as const)('%s', (datapath) => {
    let lab: Lab;
    let agent: TestAgent;
    /** Only notices and looks are to find anything. */
    const options: AgentOptions = {
      args: ['--datapath', datapath, '--backend', 'iptables', '--verify', '86400'],
      env: environment(backend),
    };

    beforeAll(async () => {
      lab = await Lab.create(PAIR, { backend, ...(isBridged(datapath) ? { bridge: PAIR_BRIDGE } : {}) });
    });
    afterAll(async () => {
      await lab.destroy();
    });
    beforeEach(() => {
      agent = new TestAgent(lab.host);
      agent.write(POLICY);
    });
    afterEach(async () => {
      await agent.destroy();
    });

    const mangle = async (program: string, ...command: Command): Promise<string> =>
      lab.must(program, ['-w', '-t', 'mangle', ...command]);
    const attack = async (commands: readonly Command[]): Promise<void> => {
      for (const program of BOTH) for (const command of commands) await mangle(program, ...command);
    };
    const exchange = async (): Promise<readonly (readonly string[])[]> => {
      await lab.forgetFlows();
      return reachIn(lab, forth('v4', 17, 53), forth('v4', 17, 54), forth('v6', 17, 53), forth('v6', 17, 54));
    };
    const OPEN = [[SERVER.device], [], [SERVER.device], []];
    const CLOSED = [[], [], [], []];
    const firstRules = async (program: string): Promise<readonly (string | undefined)[]> =>
      Promise.all(
        HOOKS.map(async (hook) =>
          (await mangle(program, '-S', hook)).split('\n').find((line) => line.startsWith('-A')),
        ),
      );

    it('nothing passes while our rules are gone or passed by, whatever the agent does; then it is said and healed', async () => {
      await agent.run(options);
      await agent.until(({ enforced, settled }) => enforced && settled);
      const attacks: readonly (readonly [string, () => Promise<void>])[] = [
        ...ATTACKS.map(([what, commands]) => [what, async () => attack(commands)] as const),
        ...(backend === 'iptables-legacy'
          ? []
          : [
              [
                'the tables are deleted',
                async () => lab.load('delete table ip mangle\ndelete table ip6 mangle'),
              ] as const,
            ]),
      ];
      for (const [what, doIt] of attacks) {
        const { drift } = await agent.status();
        agent.pause();
        await doIt();
        expect(await exchange(), what).toEqual(CLOSED);
        agent.goOn();
        await agent.until((status) => status.drift.foreign + status.drift.found > drift.foreign + drift.found);
        await agent.until(({ enforced, settled }) => enforced && settled);
        expect(await exchange(), `after: ${what}`).toEqual(OPEN);
        for (const program of BOTH) {
          expect(await firstRules(program), what).toEqual([
            '-A PREROUTING -j pc-egress',
            '-A POSTROUTING -j pc-ingress',
          ]);
        }
      }
      expect(await differs(lab, agent, datapath)).toBe(0);
      const { drift, overtaking } = await agent.status();
      expect(overtaking).toEqual([]);
      if (backend === 'iptables-nft') {
        expect(drift.found).toBe(0);
        expect(drift.last).toMatch(/^(ip6?tables|nft)/);
      }
      const said = agent.log().filter(({ msg }) => msg.includes('at which packets may end'));
      expect(said.map(({ msg }) => msg).join()).toContain('iptables -t mangle -A PREROUTING -j ACCEPT');
      // They stand behind ours now, unless they went with their tables.
      if (backend === 'iptables-legacy') await attack([...everyHook('-D', 'ACCEPT'), ...everyHook('-D', 'RETURN')]);
    });

    it('our own changes are nobody else’s, and what others do behind ours is nothing to us', async () => {
      await agent.run(options);
      for (const rules of [[allow('udp', 53)], [], [allow('udp', 53), allow('tcp', 80)]]) {
        await agent.settled(pairDocument(rules));
      }
      await mangle('iptables', '-N', 'theirs');
      await mangle('iptables', '-A', 'theirs', '-j', 'ACCEPT');
      for (const hook of ['FORWARD', 'PREROUTING']) await mangle('iptables', '-A', hook, '-j', 'theirs');
      // What came before a change of ours was heard before it.
      await agent.settled(POLICY);
      const { drift } = await agent.status();
      expect([drift.foreign, drift.found]).toEqual([0, 0]);
      expect(await differs(lab, agent, datapath)).toBe(0);
      for (const hook of ['FORWARD', 'PREROUTING']) await mangle('iptables', '-D', hook, '-j', 'theirs');
      for (const option of ['-F', '-X']) await mangle('iptables', option, 'theirs');
    });

    // What follows each program and each datapath meets once.
    if ((backend === 'iptables-nft') === (datapath === 'routed')) return;

    it('who writes whole packet marks costs no packet its way', async () => {
      for (const family of ['ip', 'ip6']) {
        await lab.load(`table ${family} pctest_marks {
          chain pre { type filter hook prerouting priority -150; meta mark set 0x5; }
          chain post { type filter hook postrouting priority -150; meta mark set 0x5; }
        }`);
      }
      await agent.run(options);
      expect(await exchange()).toEqual(OPEN);
      await lab.load('delete table ip pctest_marks\ndelete table ip6 pctest_marks');
    });

    if (backend === 'iptables-nft') {
      it('what no rule guards is closed at the notice that it is gone', async () => {
        await agent.run(options);
        for (const [doIt, tables] of [
          [async () => lab.must('iptables', ['-w', '-t', 'raw', '-F']), ['bridge']],
          [async () => lab.must('nft', ['flush ruleset']), ['bridge', 'inet', 'arp']],
        ] as const) {
          const lines = agent.log().length;
          const news = (text: string): readonly LogLine[] =>
            agent
              .log()
              .slice(lines)
              .filter(({ msg }) => msg.includes(text));
          await doIt();
          await eventually(() => news('closed until').length > 0 && news('applied').length > 0);
          await agent.until(({ enforced, settled }) => enforced && settled);
          expect(news('closed until').flatMap((line) => line['tables'])).toEqual(expect.arrayContaining([...tables]));
          expect(await differs(lab, agent, datapath)).toBe(0);
        }
        await lab.restoreProbe();
        expect(await exchange()).toEqual(OPEN);
      });
    }

    it('what others do to our sets is noticed and healed: more members, fewer, or others', async () => {
      const friend = {
        id: 'friend',
        mac_address: 'fa:16:3e:00:00:77',
        network_id: 'network',
        fixed_ips: [{ ip_address: '10.9.0.1' }],
        security_groups: ['friends'],
        'binding:host_id': 'elsewhere',
      };
      const byMembers: Rule = {
        security_groups: [
          { id: 'clients', security_group_rules: EGRESS },
          { id: 'servers', security_group_rules: [{ direction: 'ingress', remote_group_id: 'friends' }] },
          { id: 'friends' },
        ],
        ports: [portFields(CLIENT, ['clients'], HERE), portFields(SERVER, ['servers'], HERE), friend],
      };
      agent.write(byMembers);
      await agent.run(options);
      const set = 'pc-sg_friends_addresses4';
      const entries = async (): Promise<readonly string[]> =>
        (await lab.must('ipset', ['save', set])).split('\n').filter((line) => line.startsWith('add'));
      const right = [`add ${set} 10.9.0.1`];
      expect(await entries()).toEqual(right);
      const spare = ['create', 'theirs', 'hash:ip', 'family', 'inet', 'maxelem', '1048576'];
      const swap: readonly Command[] = [
        ['swap', 'theirs', set],
        ['destroy', 'theirs'],
      ];
      const attacks: readonly (readonly Command[])[] = [
        [['flush']],
        [['add', set, CLIENT.v4]],
        // As many as before.
        [
          ['del', set, '10.9.0.1'],
          ['add', set, CLIENT.v4],
        ],
        [spare, ['add', 'theirs', CLIENT.v4], ...swap],
        // An entry stands for a whole network.
        [[...spare, 'netmask', '8'], ['add', 'theirs', '10.9.0.1'], ...swap],
      ];
      for (const commands of attacks) {
        const { drift } = await agent.status();
        // It must not look in between: half of it would be healed, and the rest be new.
        agent.pause();
        for (const command of commands) await lab.must('ipset', command);
        agent.goOn();
        await agent.until((status) => status.drift.found > drift.found);
        await agent.until(({ enforced, settled }) => enforced && settled);
        expect(await entries(), JSON.stringify(commands)).toEqual(right);
        expect(await reachIn(lab, forth('v4', 17, 53))).toEqual([[]]);
      }
      expect(await differs(lab, agent, datapath)).toBe(0);
    });
  });
});
