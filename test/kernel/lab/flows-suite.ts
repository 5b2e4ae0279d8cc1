/** Flows through the loaded rules, in either datapath: replies, halves, state, fragments, counters. */
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import {
  compile,
  DEFAULT_OPTIONS,
  hostPolicy,
  isBridged,
  planTransaction,
  printRuleset,
  printTransaction,
  type Datapath,
  type TableState,
} from '../../../compiler/index.js';
import { readListing } from '../../../compiler/listing.js';
import type { Counters } from '../../../agent/index.js';
import { parseTopology, type Frame, type Transport } from '../../../compiler/model/index.js';
import type { LabBackend } from './flavour.js';
import { TCP } from './frame-bytes.js';
import { Lab, type Shot } from './lab.js';
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
  type Ends,
  type Rule,
} from './pair.js';

/** Two ports in groups of their own. */
function topology(
  clientRules: readonly Rule[],
  serverRules: readonly Rule[],
  serverFields: Rule = {},
): Parameters<typeof compile>[0] {
  const { topology: parsed, problems } = parseTopology([
    {
      file: 'test',
      content: {
        security_groups: [
          { id: 'clients', security_group_rules: clientRules },
          { id: 'servers', security_group_rules: serverRules, ...serverFields },
        ],
        ports: [portFields(CLIENT, ['clients']), portFields(SERVER, ['servers'])],
      },
    },
  ]);
  expect(problems).toEqual([]);
  return parsed;
}

export function flowsSuite(datapath: Datapath, backend: LabBackend = 'nftables'): void {
  const options = { ...DEFAULT_OPTIONS, datapath };
  const families = isBridged(datapath) ? (['bridge', 'inet', 'arp'] as const) : (['inet', 'arp', 'bridge'] as const);
  const [family] = families;

  function rulesOf(parsed: ReturnType<typeof topology>): string {
    return printRuleset(compile(parsed, () => true, options).ruleset);
  }

  async function load(parsed: ReturnType<typeof topology>): Promise<void> {
    await lab.loadPolicy(
      hostPolicy(parsed, () => true, options),
      options,
    );
  }

  let lab: Lab;
  beforeAll(async () => {
    lab = await Lab.create(
      [...PAIR, { device: 'tapunknown', addresses: ['10.0.0.3', 'fd00::3'], mac: 'fa:16:3e:00:00:03' }],
      { backend, ...(isBridged(datapath) ? { bridge: PAIR_BRIDGE } : {}) },
    );
  });
  afterAll(async () => {
    await lab.destroy();
  });
  beforeEach(async () => {
    await lab.forgetFlows();
  });

  async function reach(...shots: readonly Shot[]): Promise<readonly (readonly string[])[]> {
    return reachIn(lab, ...shots);
  }

  it.each<Ends>(['v4', 'v6'])('a reply passes without a rule, and nothing else does (%s)', async (family) => {
    const ethertype = family === 'v4' ? 'IPv4' : 'IPv6';
    await load(topology(EGRESS, [allow('tcp', 80, { ethertype }), allow('udp', 53, { ethertype })]));
    for (const protocol of [6, 17] as const) {
      const port = protocol === 6 ? 80 : 53;
      expect(await reach(forth(family, protocol, port), back(family, protocol, port))).toEqual([
        [SERVER.device],
        [CLIENT.device],
      ]);
      expect(await reach(forth(family, protocol, port + 1), forth(family, protocol, port - 1))).toEqual([[], []]);
    }
  });

  it('a packet between two local ports needs both halves', async () => {
    await load(topology([], [allow('udp', 53)]));
    expect(await reach(forth('v4', 17, 53))).toEqual([[]]);
    await load(topology(EGRESS, []));
    expect(await reach(forth('v4', 17, 53))).toEqual([[]]);
    await load(topology(EGRESS, [allow('udp', 53)]));
    expect(await reach(forth('v4', 17, 53))).toEqual([[SERVER.device]]);
  });

  it('stateless groups need a rule for the reply', async () => {
    const rules = [allow('udp', 53)];
    await load(topology(EGRESS, rules, { stateful: false }));
    // The client's group is stateful and lets the reply in; the stateless server has no egress rule to send it.
    expect(await reach(forth('v4', 17, 53), back('v4', 17, 53))).toEqual([[SERVER.device], []]);
    await load(topology(EGRESS, [...rules, ...EGRESS], { stateful: false }));
    expect(await reach(forth('v4', 17, 53), back('v4', 17, 53))).toEqual([[SERVER.device], [CLIENT.device]]);
  });

  if (backend === 'nftables') {
    it('what is not let through is counted by port, and a count that cannot be kept lets nothing through', async () => {
      const rules = rulesOf(topology(EGRESS, []));
      await lab.load(rules);
      expect(await reach(forth('v4', 17, 53), forth('v6', 6, 80))).toEqual([[], []]);
      const spoofed = { device: CLIENT.device, frame: ipFrame(CLIENT.mac, '10.0.0.99', SERVER.v4, ports(17, 9, 9)) };
      expect(await reach(spoofed)).toEqual([[]]);
      const stdout = await lab.must(process.execPath, ['dist/bin/portcullis.js', 'stats', '--json']);
      const { drops } = JSON.parse(stdout) as Counters;
      const packets = (of: string, way: string): number =>
        drops.find(({ device, direction }) => device === of && direction === way)?.packets ?? 0;
      // The host itself sends service traffic to devices, too: at least ours.
      expect(packets(CLIENT.device, 'egress')).toBeGreaterThanOrEqual(1);
      expect(packets(SERVER.device, 'ingress')).toBeGreaterThanOrEqual(2);
      // Counts do not stop a listing from being loaded again, as commit-confirm does.
      const saved = await lab.must('nft', ['--stateless', 'list', 'table', family, 'portcullis']);
      expect(saved).toContain(`"${SERVER.device}"`);
      await lab.load(`delete table ${family} portcullis\n${saved}\n`);
      // The kernel ends a rule whose set is full (nft_dynset_eval, NFT_BREAK). Filled as it is made: a packet of the host's own may be next.
      const filled = ['dropped_from_port', 'dropped_to_port'].map(
        (set) => `add element ${family} portcullis ${set} { "other" }\n`,
      );
      await lab.load(`${rules.replaceAll('size 65536', 'size 1')}\n${filled.join('')}`);
      expect(await reach(forth('v4', 17, 53), spoofed)).toEqual([[], []]);
    });

    it('in audit what would be dropped passes, and who, from whom and to which port is counted, while there is room', async () => {
      const audited = compile(topology(EGRESS, []), () => true, { ...options, audit: true }).ruleset;
      await lab.load(printRuleset(audited));
      const spoofed = { device: CLIENT.device, frame: ipFrame(CLIENT.mac, '10.0.0.99', SERVER.v4, ports(17, 9, 9)) };
      const passed = [[SERVER.device], [SERVER.device], [SERVER.device]];
      expect(await reach(forth('v4', 17, 53), forth('v6', 6, 80), spoofed)).toEqual(passed);
      const stdout = await lab.must(process.execPath, ['dist/bin/portcullis.js', 'stats', '--json']);
      const { drops, audited: counted } = JSON.parse(stdout) as Counters;
      expect(drops).toEqual([]);
      const toServer = { chain: 'profile_in', device: SERVER.device, packets: 1 };
      for (const flow of [
        { ...toServer, source: CLIENT.v4, destination: SERVER.v4, protocol: 17, port: 53 },
        { ...toServer, source: CLIENT.v6, destination: SERVER.v6, protocol: 6, port: 80 },
        { ...toServer, source: '10.0.0.99', destination: SERVER.v4, protocol: 17, port: 9 },
        { chain: 'source4', device: CLIENT.device, source: '10.0.0.99', destination: SERVER.v4, protocol: 17, port: 9 },
      ]) {
        expect(counted.flows).toContainEqual(expect.objectContaining(flow));
      }
      // Somebody's flood has filled what there is room for.
      const flooded = `add element ${family} portcullis audit_profile_in_4 { "other" . 192.0.2.1 . 192.0.2.2 . 6 . 1 }`;
      await lab.load(`${printRuleset(audited).replaceAll('size 4096', 'size 1')}\n${flooded}\n`);
      expect(await reach(forth('v4', 17, 53))).toEqual([[SERVER.device]]);
    });
  }

  it('a stray SYN-ACK is invalid and does not pass, whatever the rules', async () => {
    await load(topology(EGRESS, [{ direction: 'ingress' }]));
    expect(await reach(forth('v4', 6, 80, TCP.syn | TCP.ack))).toEqual([[]]);
  });

  it('an unknown device of the prefix passes nothing, in or out', async () => {
    await load(topology(EGRESS, [{ direction: 'ingress' }]));
    const out: Shot = {
      device: 'tapunknown',
      frame: ipFrame('fa:16:3e:00:00:03', '10.0.0.3', SERVER.v4, ports(17, 9, 9)),
    };
    const inward: Shot = { device: undefined, frame: ipFrame(OUTSIDE.mac, OUTSIDE.v4, '10.0.0.3', ports(17, 9, 9)) };
    const known: Shot = { device: undefined, frame: ipFrame(OUTSIDE.mac, OUTSIDE.v4, SERVER.v4, ports(17, 9, 9)) };
    expect(await reach(out, inward, known)).toEqual([[], [], [SERVER.device]]);
  });

  if (backend === 'nftables') {
    async function loaded(): Promise<readonly TableState[]> {
      return Promise.all(
        families.map(async (family) => {
          const stdout = await lab.must('nft', ['-j', '-n', '-s', 'list', 'table', family, 'portcullis']);
          return readListing(family, 'portcullis', JSON.parse(stdout));
        }),
      );
    }

    it('an established flow survives a change that does not concern it', async () => {
      await load(topology(EGRESS, [allow('tcp', 80)]));
      expect(await reach(forth('v4', 6, 80), back('v4', 6, 80), forth('v4', 6, 80, TCP.ack))).toEqual([
        [SERVER.device],
        [CLIENT.device],
        [SERVER.device],
      ]);
      const { ruleset } = compile(topology(EGRESS, [allow('tcp', 80), allow('tcp', 443)]), () => true, options);
      const text = printTransaction(planTransaction(ruleset.tables, await loaded()));
      expect(text).toContain('sg_servers');
      expect(text).not.toContain('egress');
      await lab.load(text);
      expect(await reach(forth('v4', 6, 80, TCP.ack), back('v4', 6, 80, TCP.ack))).toEqual([
        [SERVER.device],
        [CLIENT.device],
      ]);
    });

    it('a load that fails leaves the former rules, byte for byte', async () => {
      await load(topology(EGRESS, [allow('tcp', 80)]));
      // Without what packets alone write: elements that expire.
      const listing = async (): Promise<readonly unknown[]> => {
        const listings = [];
        for (const family of ['inet', 'arp', 'bridge']) {
          const { exitCode, stdout } = await lab.exec('nft', ['-j', '-s', 'list', 'table', family, 'portcullis']);
          if (exitCode === 0)
            listings.push(...(JSON.parse(stdout) as { readonly nftables: readonly unknown[] }).nftables);
        }
        return listings.map((object) => {
          const { set } = object as { readonly set?: { readonly timeout?: number } };
          return set?.timeout === undefined ? object : { set: { ...set, elem: [] } };
        });
      };
      const before = await listing();
      const broken = rulesOf(topology(EGRESS, [allow('tcp', 443)])).replace(
        'jump egress_stateful',
        'jump no_such_chain',
      );
      await expect(lab.load(broken)).rejects.toThrow('no_such_chain');
      expect(before.length).toBeGreaterThan(20);
      expect(await listing()).toEqual(before);
    });

    it('the kernel keeps the first comment of a chain, so that digests are in comments of rules', async () => {
      await lab.load('table inet pctest_comment {\n chain c { comment "first"; }\n}');
      await lab.load('add chain inet pctest_comment c { comment "second"; }');
      const stdout = await lab.must('nft', ['list', 'table', 'inet', 'pctest_comment']);
      expect(stdout).toContain('comment "first"');
      await lab.load('delete table inet pctest_comment');
    });
  }

  // On a bridge the host sends as one of its stations.
  if (datapath === 'routed') {
    it('a device that somebody plugs into a bridge is closed there', async () => {
      const plug = async (...args: readonly string[]): Promise<void> => {
        for (const { device } of PAIR) await lab.must('ip', ['link', 'set', device, ...args]);
      };
      await load(topology(EGRESS, [allow('udp', 53)]));
      await lab.must('ip', ['link', 'add', 'pctbridge', 'type', 'bridge']);
      await lab.must('ip', ['link', 'set', 'pctbridge', 'up']);
      await plug('master', 'pctbridge');
      const direct = { ...forth('v4', 17, 54), destinationMac: SERVER.mac };
      expect(await reach(direct)).toEqual([[]]);
      // It is that table which closes it. What br_netfilter shows to the rules of routed ports, they refuse, too.
      await lab.must('sysctl', ['-qw', 'net.bridge.bridge-nf-call-iptables=0']);
      await lab.load('delete table bridge portcullis');
      expect(await reach(direct)).toEqual([[SERVER.device]]);
      await plug('nomaster');
      await lab.must('ip', ['link', 'delete', 'pctbridge']);
      for (const port of PAIR) await lab.route(port);
    });

    it('service traffic that the host itself sends reaches a port without a rule, and nothing else does', async () => {
      await load(topology([], []));
      const linkLocal = 'fe80::f816:3eff:fe00:2';
      await lab.must('ip', ['neighbour', 'replace', linkLocal, 'lladdr', SERVER.mac, 'dev', SERVER.device]);
      const udp = (sourcePort: number, destinationPort: number): Transport => ports(17, sourcePort, destinationPort);
      const icmpv6 = (type: number): Transport => ({ kind: 'icmp', protocol: 58, type, code: 0 });
      const frame = (source: string, destination: string, transport: Transport): Frame =>
        ipFrame('02:00:00:00:01:01', source, destination, transport);
      const cases: readonly (readonly [string, Frame, boolean])[] = [
        ['DHCP answer by broadcast', frame('203.0.113.1', '255.255.255.255', udp(67, 68)), true],
        ['DHCP answer to the address', frame('203.0.113.1', SERVER.v4, udp(67, 68)), true],
        ['DHCP question', frame('203.0.113.1', SERVER.v4, udp(68, 67)), false],
        ['other UDP', frame('203.0.113.1', SERVER.v4, udp(67, 69)), false],
        ['DHCPv6 answer to the link-local address', frame('fe80::1', linkLocal, udp(547, 546)), true],
        ['router advertisement', frame('fe80::1', 'ff02::1', icmpv6(134)), true],
        ['neighbour solicitation', frame('fe80::1', 'ff02::1:ff00:2', icmpv6(135)), true],
        ['MLD query', frame('fe80::1', 'ff02::1', icmpv6(130)), true],
        ['router solicitation', frame('fe80::1', 'ff02::2', icmpv6(133)), false],
        ['redirect', frame('fe80::1', SERVER.v6, icmpv6(137)), false],
        ['echo request', frame('fe80::1', 'ff02::1', icmpv6(128)), false],
      ];
      for (const [what, packet, passes] of cases) {
        expect([what, await lab.shootFromHost(SERVER.device, packet)]).toEqual([what, passes]);
      }
    });
  }

  it.each<Ends>(['v4', 'v6'])('fragments are judged as the packet that they make (%s)', async (family) => {
    const ethertype = family === 'v4' ? 'IPv4' : 'IPv6';
    await load(topology(EGRESS, [allow('udp', 53, { ethertype })]));
    const fragments = (port: number): Shot => ({ ...forth(family, 17, port), fragmented: true });
    expect(await reach(fragments(53), fragments(54))).toEqual([[SERVER.device], []]);
    // A stateless group needs the ports just as much: reassembly does not depend on state.
    await load(topology(EGRESS, [allow('udp', 53, { ethertype })], { stateful: false }));
    expect(await reach(fragments(53), fragments(54))).toEqual([[SERVER.device], []]);
  });
}
