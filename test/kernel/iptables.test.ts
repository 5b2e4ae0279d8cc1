/** The policy in iptables and ipset, by either of the programs: accepted, and judged by the oracle. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { compile, DEFAULT_OPTIONS, isBridged } from '../../compiler/index.js';
import { parseTopology } from '../../src/model/index.js';
import { namedCompilation } from '../support/golden.js';
import { NAMED_TOPOLOGIES } from '../support/named-topologies.js';
import { TCP } from './lab/frame-bytes.js';
import { Lab } from './lab/lab.js';
import {
  allow,
  back,
  CLIENT,
  EGRESS,
  forth,
  PAIR,
  PAIR_BRIDGE,
  portFields,
  reachIn,
  SERVER,
  type Ends,
  type Rule,
} from './lab/pair.js';
import { policySuite } from './lab/policy-suite.js';

const SIZE = { topologies: 8, frames: 240 };

describe.each(['nft', 'legacy'] as const)('iptables-%s', (flavour) => {
  describe('random packets', () => {
    describe('routed', () => {
      policySuite('routed', SIZE, `iptables-${flavour}`);
    });
    describe('bridged', () => {
      policySuite('bridge-netfilter', SIZE, `iptables-${flavour}`);
    });
  });

  describe.each(['routed', 'bridge-netfilter'] as const)('%s', (datapath) => {
    const options = { ...DEFAULT_OPTIONS, datapath };
    let lab: Lab;
    beforeAll(async () => {
      lab = await Lab.create(PAIR, isBridged(datapath) ? { bridge: PAIR_BRIDGE } : {});
    });
    afterAll(async () => {
      await lab.destroy();
    });
    beforeEach(async () => {
      await lab.forgetFlows();
    });

    const load = async (serverRules: readonly Rule[], serverGroup: Rule = {}): Promise<void> => {
      const content = {
        security_groups: [
          { id: 'clients', security_group_rules: EGRESS },
          { id: 'servers', security_group_rules: serverRules, ...serverGroup },
        ],
        ports: [portFields(CLIENT, ['clients']), portFields(SERVER, ['servers'])],
      };
      const { topology } = parseTopology([{ file: 'test', content }]);
      await lab.loadIptables(compile(topology, () => true, options).policy, options, flavour);
    };

    it('takes every named topology', async () => {
      for (const name of Object.keys(NAMED_TOPOLOGIES)) {
        const { policy } = namedCompilation(name, datapath);
        await expect(lab.loadIptables(policy, options, flavour), name).resolves.toBeUndefined();
      }
    });

    it.each<Ends>(['v4', 'v6'])('a reply passes without a rule, and nothing else does (%s)', async (family) => {
      const ethertype = family === 'v4' ? 'IPv4' : 'IPv6';
      await load([allow('tcp', 80, { ethertype }), allow('udp', 53, { ethertype })]);
      for (const [protocol, port] of [
        [6, 80],
        [17, 53],
      ] as const) {
        expect(await reachIn(lab, forth(family, protocol, port), back(family, protocol, port))).toEqual([
          [SERVER.device],
          [CLIENT.device],
        ]);
        expect(await reachIn(lab, forth(family, protocol, port + 1), back(family, protocol, port + 2))).toEqual([
          [],
          [],
        ]);
      }
    });

    it('a revoked flow is cut in both directions, and goes on when the mark goes', async () => {
      await load([allow('udp', 53)]);
      const both = [forth('v4', 17, 53), back('v4', 17, 53)];
      const [open, cut] = [
        [[SERVER.device], [CLIENT.device]],
        [[], []],
      ];
      expect(await reachIn(lab, ...both)).toEqual(open);
      const mark = async (value: number): Promise<void> => {
        await lab.load(`table inet pctest_mark
delete table inet pctest_mark
table inet pctest_mark {
chain c { type filter hook prerouting priority -160; ct mark set ${value.toString()}; }
}`);
      };
      await mark(DEFAULT_OPTIONS.revokedMark);
      expect(await reachIn(lab, ...both)).toEqual(cut);
      await mark(0);
      expect(await reachIn(lab, ...both)).toEqual(open);
    });

    it('a stateless group needs a rule for the reply; a stray SYN-ACK is invalid', async () => {
      await load([allow('udp', 53)], { stateful: false });
      expect(await reachIn(lab, forth('v4', 17, 53), back('v4', 17, 53))).toEqual([[SERVER.device], []]);
      await load([allow('tcp', 80)]);
      expect(await reachIn(lab, forth('v4', 6, 80, TCP.syn | TCP.ack))).toEqual([[]]);
    });
  });
});
