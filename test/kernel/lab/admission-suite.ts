/** Senders that lie: whoever makes an entry with a port's address, it opens that port to nobody. */
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { DEFAULT_OPTIONS, hostPolicy, isBridged, type Datapath } from '../../../compiler/index.js';
import { parseTopology, type Transport } from '../../../compiler/model/index.js';
import type { LabBackend } from './flavour.js';
import { Lab, UPLINK, type Shot } from './lab.js';
import {
  allow,
  CLIENT,
  EGRESS,
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

/** Has no rule but its own egress; whose port it is that others would open. */
const VICTIM = SERVER;
/** Lets everybody in and may send nothing of itself. */
const ACCOMPLICE = CLIENT;
const ACCEPTING = ACCOMPLICE;
const STRANGER = { device: 'tapstranger-00', mac: 'fa:16:3e:00:00:08', v4: '172.16.0.8', v6: 'fd16::8' };
const EVERYBODY: readonly Rule[] = [{ direction: 'ingress' }, { direction: 'ingress', ethertype: 'IPv6' }];
const UNSECURED: Rule = { port_security_enabled: false, security_groups: [] };
const FAMILIES: readonly Ends[] = ['v4', 'v6'];
const ASKED = 53;
const ASKER = 30_000;

export function admissionSuite(datapath: Datapath, backend: LabBackend = 'nftables'): void {
  const options = { ...DEFAULT_OPTIONS, datapath };
  let lab: Lab;

  /** On a bridge everybody is on the victim's network; routed the stranger is on another. */
  async function load(victimRules: readonly Rule[], stranger: Rule): Promise<void> {
    const { topology, problems } = parseTopology([
      {
        file: 'test',
        content: {
          security_groups: [
            { id: 'victims', security_group_rules: victimRules },
            { id: 'open', security_group_rules: EVERYBODY },
            { id: 'strangers', security_group_rules: EGRESS },
          ],
          ports: [
            portFields(ACCOMPLICE, ['open']),
            portFields(VICTIM, ['victims']),
            portFields(STRANGER, ['strangers'], { ...(isBridged(datapath) ? {} : { network_id: 'a' }), ...stranger }),
          ],
        },
      },
    ]);
    expect(problems.filter(({ severity }) => severity === 'error')).toEqual([]);
    await lab.loadPolicy(
      hostPolicy(topology, () => true, options),
      options,
    );
  }

  beforeAll(async () => {
    const { device, mac, v4, v6 } = STRANGER;
    lab = await Lab.create([...PAIR, { device, mac, addresses: [v4, v6] }], {
      backend,
      ...(isBridged(datapath) ? { bridge: PAIR_BRIDGE } : {}),
    });
  });
  afterAll(async () => {
    await lab.destroy();
  });
  beforeEach(async () => {
    await lab.forgetFlows();
  });

  const reach = async (shot: Shot): Promise<readonly string[]> => (await reachIn(lab, shot))[0] ?? [];
  const udp = (from: number, to: number): Transport => ports(17, from, to);
  /** From outside to the victim's closed port. */
  const asked = (family: Ends, to: string = VICTIM[family]): Shot => ({
    device: undefined,
    frame: ipFrame(OUTSIDE.mac, OUTSIDE[family], to, udp(ASKER, ASKED)),
  });
  /** The same flow the other way, by whoever claims to be the victim. */
  const claimed = (family: Ends, device: string | undefined, mac: string, to: string = OUTSIDE[family]): Shot => ({
    device,
    frame: ipFrame(mac, VICTIM[family], to, udp(ASKED, ASKER)),
  });
  const own = (family: Ends): Shot => claimed(family, VICTIM.device, VICTIM.mac);

  it.each(FAMILIES)('an answer to what the port sent passes, an entry or none (%s)', async (family) => {
    await load(EGRESS, UNSECURED);
    expect(await reach(asked(family))).toEqual([]);
    expect(await reach(own(family))).toContain(UPLINK);
    expect(await reach(asked(family))).toEqual([VICTIM.device]);
  });

  it.each(FAMILIES)('a port without port security opens nobody by sending as it (%s)', async (family) => {
    await load(EGRESS, UNSECURED);
    const lie = await reach(claimed(family, STRANGER.device, STRANGER.mac));
    // Routed, it does not even leave. On a link anybody may claim to be anybody.
    expect(lie.includes(UPLINK)).toBe(isBridged(datapath));
    expect(await reach(asked(family))).toEqual([]);
    expect(await reach(own(family))).toContain(UPLINK);
    expect(await reach(asked(family))).toEqual([VICTIM.device]);
  });

  it.each(FAMILIES)('somebody outside opens nobody by asking another port as it (%s)', async (family) => {
    await load(EGRESS, UNSECURED);
    const lie = claimed(family, undefined, OUTSIDE.mac, ACCOMPLICE[family]);
    expect(await reach(lie)).toEqual(isBridged(datapath) ? [ACCOMPLICE.device] : []);
    const answer: Shot = {
      device: ACCOMPLICE.device,
      frame: ipFrame(ACCOMPLICE.mac, ACCOMPLICE[family], VICTIM[family], udp(ASKER, ASKED)),
    };
    expect(await reach(answer)).toEqual([]);
  });

  it.each(FAMILIES)('nobody takes an allowed connection from the port by an entry of its own (%s)', async (family) => {
    await load([...EGRESS, allow('udp', ASKED), allow('udp', ASKED, { ethertype: 'IPv6' })], UNSECURED);
    await reach(claimed(family, STRANGER.device, STRANGER.mac));
    expect(await reach(asked(family))).toEqual([VICTIM.device]);
    expect(await reach(own(family))).toContain(UPLINK);
  });

  it.each(FAMILIES)('who erases the marks of flows closes answers until the port asks again (%s)', async (family) => {
    await load(EGRESS, UNSECURED);
    await reach(own(family));
    await lab.must('conntrack', ['-U', '-f', family === 'v4' ? 'ipv4' : 'ipv6', '--mark', '0x5']);
    expect(await reach(asked(family))).toEqual([]);
    expect(await reach(own(family))).toContain(UPLINK);
    expect(await reach(asked(family))).toEqual([VICTIM.device]);
  });

  it('who answers a DHCP client as a server is refused, whatever its groups', async () => {
    await load([...EGRESS, ...EVERYBODY], UNSECURED);
    const request: Shot = {
      device: undefined,
      frame: ipFrame(OUTSIDE.mac, OUTSIDE.v4, VICTIM.v4, udp(68, 67)),
    };
    const answer: Shot = {
      device: VICTIM.device,
      frame: ipFrame(VICTIM.mac, VICTIM.v4, OUTSIDE.v4, udp(67, 68)),
    };
    expect(await reach(request)).toEqual([VICTIM.device]);
    expect(await reach(answer)).toEqual([]);
  });

  if (isBridged(datapath)) {
    it('a tagged frame is not of the flow that its addresses name', async () => {
      await load(EGRESS, UNSECURED);
      const shot = own('v4');
      expect(await reach(shot)).toContain(UPLINK);
      expect(await reach({ ...shot, frame: { ...shot.frame, vlanTags: [7] } })).toEqual([]);
      const answer = asked('v4');
      expect(await reach(answer)).toEqual([VICTIM.device]);
      expect(await reach({ ...answer, frame: { ...answer.frame, vlanTags: [7] } })).not.toContain(VICTIM.device);
    });

    it('what is for several stations is judged for each of them, however often it is sent', async () => {
      await load(EGRESS, UNSECURED);
      const toAll: Shot = {
        device: undefined,
        frame: ipFrame(OUTSIDE.mac, OUTSIDE.v4, '224.0.0.251', udp(ASKER, ASKED)),
        destinationMac: '01:00:5e:00:00:fb',
      };
      for (let count = 0; count < 3; count++) {
        expect(await reach(toAll)).toEqual([ACCEPTING.device, STRANGER.device].sort());
      }
    });

    it('who erases the marks of packets on their way changes nothing', async () => {
      await load([...EGRESS, allow('udp', ASKED)], UNSECURED);
      await lab.load(
        'table inet pctest_marks { chain c { type filter hook forward priority -150; meta mark set 0x5; }; }',
      );
      expect(await reach(asked('v4'))).toEqual([VICTIM.device]);
      expect(await reach(own('v4'))).toContain(UPLINK);
      expect(await reach(asked('v6'))).toEqual([]);
      expect(await reach(own('v6'))).toContain(UPLINK);
      expect(await reach(asked('v6'))).toEqual([VICTIM.device]);
      await lab.load('delete table inet pctest_marks');
    });

    it('what br_netfilter does not show to the rules is closed, until it shows it again', async () => {
      const shows = async (value: string): Promise<void> => {
        for (const name of ['iptables', 'ip6tables']) {
          const { exitCode } = await lab.exec('sysctl', ['-qw', `net.bridge.bridge-nf-call-${name}=${value}`]);
          expect(exitCode).toBe(0);
        }
      };
      await load([...EGRESS, allow('udp', ASKED), allow('udp', ASKED, { ethertype: 'IPv6' })], UNSECURED);
      for (const family of FAMILIES) {
        expect(await reach(asked(family))).toEqual([VICTIM.device]);
        await shows('0');
        expect([await reach(asked(family)), await reach(own(family))]).toEqual([[], []]);
        await shows('1');
        expect(await reach(asked(family))).toEqual([VICTIM.device]);
      }
    });
    return;
  }

  it.each(['10.0.0.0/24', '0.0.0.0/0', '10.0.0.2'])(
    'an address pair of another network opens nobody: %s',
    async (pair) => {
      await load(EGRESS, { allowed_address_pairs: [{ ip_address: pair }, { ip_address: 'fd00::/64' }] });
      for (const family of FAMILIES) {
        // The holder may send so, and pays for it: the victim's flows are its own.
        expect(await reach(claimed(family, STRANGER.device, STRANGER.mac))).toEqual([UPLINK]);
        expect(await reach(asked(family))).toEqual([]);
        expect(await reach(own(family))).toEqual([UPLINK]);
        expect(await reach(asked(family))).toEqual([VICTIM.device]);
        // From its own address it is like any other port.
        const plain: Shot = {
          device: STRANGER.device,
          frame: ipFrame(STRANGER.mac, STRANGER[family], OUTSIDE[family], udp(ASKED, ASKER)),
        };
        expect(await reach(plain)).toEqual([UPLINK]);
        expect(await reach(asked(family, STRANGER[family]))).toEqual([STRANGER.device]);
      }
    },
  );
}
