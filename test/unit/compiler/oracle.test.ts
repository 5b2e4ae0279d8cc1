import fc from 'fast-check';
import { expect, it } from 'vitest';
import { seed } from '../../support/seed.js';
import {
  compile,
  DEFAULT_OPTIONS,
  printRuleset,
  runEgress,
  runIngress,
  type Datapath,
  type FlowDirection,
} from '../../../compiler/index.js';
import { judgeEgress, judgeIngress } from '../../../compiler/semantics/index.js';
import {
  parseAddress,
  parseTopology,
  type FlowState,
  type Frame,
  type Port,
  type Prefix,
  type Transport,
} from '../../../compiler/model/index.js';
import {
  arbitraryDocument,
  arbitraryFrame,
  arbitraryState,
  arbitraryTopology,
  frameOf,
} from '../../support/arbitrary-topology.js';

const FRAMES = 40;
/** LLDP, which random frames have: permitted in some topologies. */
const PERMITTED = [0x88cc];
/** Packets that pass, and packets that do not. */
const ENOUGH = 1000;

/** What no hook of the routed datapath sees: ARP to a port, and what is neither IP nor ARP, which the host drops. */
function isUnseenWhenRouted(frame: Frame): boolean {
  return frame.payload.kind !== 'ip' || frame.vlanTags.length > 0 || frame.snap;
}

interface Judged {
  readonly verdict: string;
}

/** Called where they differ: an expectation for each packet takes longer than to judge it. */
function differs(direction: string, ran: Judged, judged: Judged, packet: object): never {
  expect({ [direction]: ran.verdict, ...packet }).toEqual({ [direction]: judged.verdict, ...packet });
  throw new Error(`${direction}: ${ran.verdict}`);
}

it.each<Datapath>(['routed', 'bridge', 'bridge-netfilter'])(
  'the compiled ruleset (%s) gives every packet the verdict of the oracle',
  (datapath) => {
    const verdicts = { accept: 0, drop: 0 };
    const property = fc.property(
      arbitraryTopology(),
      fc.array(
        fc.tuple(arbitraryFrame(), arbitraryState(), fc.constantFrom<FlowDirection>('original', 'reply'), fc.boolean()),
        { minLength: FRAMES, maxLength: FRAMES },
      ),
      (topology, frames) => {
        const ethertypes = topology.ports.size % 2 === 0 ? PERMITTED : [];
        const options = { ...DEFAULT_OPTIONS, datapath, ethertypes };
        const { ruleset } = compile(topology, (port) => port.host === 'host-1', options);
        const addressesOfPorts = new Set(
          [...topology.ports.values()]
            .filter((port) => port.host === 'host-1' && port.filtering === 'filtered')
            .flatMap((port) => port.fixedIps.map(({ text }) => text)),
        );
        const context = {
          topology,
          widestPairLength: options.widestPairLength,
          ethertypes,
          ...(datapath === 'routed' ? { addressesOfPorts } : {}),
        };
        const locals: readonly (Port | undefined)[] = [
          ...[...topology.ports.values()].filter((port) => port.host === 'host-1'),
          undefined,
        ];
        for (const port of locals) {
          const device = port?.device ?? 'tapnobody';
          for (const [random, state, direction, own] of frames) {
            const flow = { direction, options };
            const frame = own && port !== undefined ? frameOf(port, random) : random;
            const egress = judgeEgress(context, port, frame, state);
            const ranEgress = runEgress(ruleset, device, frame, state, flow);
            if (ranEgress.verdict !== 'unseen') {
              verdicts[egress.verdict]++;
              if (ranEgress.verdict !== egress.verdict) differs('egress', ranEgress, egress, { device, frame, state });
            } else if (datapath !== 'routed' || !isUnseenWhenRouted(frame)) {
              differs('egress', ranEgress, egress, { device, frame, state });
            }
            const ingress = judgeIngress(context, port, random, state);
            const ranIngress = runIngress(ruleset, device, random, state, flow);
            if (ranIngress.verdict !== 'unseen') {
              verdicts[ingress.verdict]++;
              if (ranIngress.verdict !== ingress.verdict) {
                differs('ingress', ranIngress, ingress, { device, frame: random, state });
              }
            } else if (datapath !== 'routed' || !isUnseenWhenRouted(random)) {
              differs('ingress', ranIngress, ingress, { device, frame: random, state });
            }
          }
        }
      },
    );
    // A generator that meets no rule, or nothing but rules, would prove nothing: it goes on until it has met enough of both.
    for (let round = 0; Math.min(verdicts.accept, verdicts.drop) < ENOUGH; round++) {
      fc.assert(property, { numRuns: 150, seed: seed + round });
    }
  },
);

function addressOf(text: string): Prefix {
  const address = parseAddress(text);
  if (address === undefined) throw new Error(`${text} is no address`);
  return address;
}

it.each<Datapath>(['bridge', 'bridge-netfilter'])(
  'what is tagged or in LLC/SNAP does not reach a port, whichever addresses it has, though it were service traffic (%s)',
  (datapath) => {
    const addresses = [[], ['10.0.0.1'], ['fd00::1'], ['10.0.0.1', 'fd00::1']];
    const { topology } = parseTopology([
      {
        file: 'tagged',
        content: {
          security_groups: [{ id: 'g', security_group_rules: [] }],
          ports: addresses.map((fixed, index) => ({
            ...{ id: `p${index.toString()}`, network_id: 'n', mac_address: `fa:16:3e:00:00:0${index.toString()}` },
            ...{ device: `tap${index.toString()}`, security_groups: index === 0 ? [] : ['g'] },
            fixed_ips: fixed.map((ip_address) => ({ ip_address })),
          })),
        },
      },
    ]);
    const options = { ...DEFAULT_OPTIONS, datapath };
    const { ruleset } = compile(topology, () => true, options);
    const packet = (source: string, destination: string, transport: Transport): Frame['payload'] => ({
      kind: 'ip',
      source: addressOf(source),
      destination: addressOf(destination),
      transport,
    });
    const packets = [
      packet('10.0.0.9', '255.255.255.255', { kind: 'ports', protocol: 17, sourcePort: 67, destinationPort: 68 }),
      packet('fe80::9', 'fe80::1', { kind: 'ports', protocol: 17, sourcePort: 547, destinationPort: 546 }),
      packet('fe80::9', 'ff02::1', { kind: 'icmp', protocol: 58, type: 134, code: 0 }),
    ];
    for (const port of topology.ports.values()) {
      for (const payload of packets) {
        const plain: Frame = { sourceMac: 'fa:16:3e:00:00:99', vlanTags: [], snap: false, payload };
        for (const state of ['new', 'established', 'related', 'invalid'] as const) {
          const run = (frame: Frame): string =>
            runIngress(ruleset, port.device, frame, state, { direction: 'original', options }).verdict;
          for (const frame of [
            { ...plain, vlanTags: [0] },
            { ...plain, vlanTags: [7, 8] },
            { ...plain, snap: true },
          ]) {
            expect([port.device, state, frame, run(frame)]).toEqual([port.device, state, frame, 'drop']);
          }
        }
      }
    }
  },
);

it.each<Datapath>(['routed', 'bridge', 'bridge-netfilter'])(
  'a port that acts as a DHCP server is refused, whatever flow its answer is of (%s)',
  (datapath) => {
    const { topology } = parseTopology([
      {
        file: 'dhcp',
        content: {
          security_groups: [
            {
              id: 'g',
              security_group_rules: ['IPv4', 'IPv6'].map((ethertype) => ({ direction: 'egress', ethertype })),
            },
          ],
          ports: [
            {
              ...{ id: 'p', network_id: 'n', mac_address: 'fa:16:3e:00:00:01', device: 'tap1', security_groups: ['g'] },
              fixed_ips: [{ ip_address: '10.0.0.1' }, { ip_address: 'fd00::1' }],
            },
          ],
        },
      },
    ]);
    const options = { ...DEFAULT_OPTIONS, datapath };
    const { ruleset } = compile(topology, () => true, options);
    const states: readonly FlowState[] = ['new', 'established', 'related', 'unadmitted', 'invalid', 'revoked'];
    for (const [source, destination, server, client] of [
      ['10.0.0.1', '10.0.0.2', 67, 68],
      ['fd00::1', 'fd00::2', 547, 546],
    ] as const) {
      for (const state of states) {
        for (const direction of ['original', 'reply'] as const) {
          const datagram = (from: string, to: string, sourcePort: number, destinationPort: number): Frame => ({
            sourceMac: from === source ? 'fa:16:3e:00:00:01' : 'fa:16:3e:00:00:02',
            vlanTags: [],
            snap: false,
            payload: {
              kind: 'ip',
              source: addressOf(from),
              destination: addressOf(to),
              transport: { kind: 'ports', protocol: 17, sourcePort, destinationPort },
            },
          });
          const sent = (sourcePort: number, destinationPort: number): string => {
            const frame = datagram(source, destination, sourcePort, destinationPort);
            return `${state} ${direction} ${runEgress(ruleset, 'tap1', frame, state, { direction, options }).verdict}`;
          };
          expect(sent(server, client)).toBe(`${state} ${direction} drop`);
          // What is no answer of a server passes by the rule, or as part of its flow.
          if (state === 'new' || state === 'related') expect(sent(server + 1, client + 2)).toContain('accept');
          // What a client asks is judged as any other packet: no rule lets it in, a flow that was announced does.
          const asked = datagram(destination, source, client, server);
          const { verdict } = runIngress(ruleset, 'tap1', asked, state, { direction, options });
          if (state === 'new') expect([direction, verdict]).toEqual([direction, 'drop']);
          if (state === 'related') expect([direction, verdict]).toEqual([direction, 'accept']);
        }
      }
    }
  },
);

it('compiles to the same bytes whatever the order of the input', () => {
  fc.assert(
    fc.property(arbitraryDocument(), fc.infiniteStream(fc.nat()), (document, numbers) => {
      const shuffled = shuffleLists(document, numbers);
      const [first, second] = [document, shuffled].map((content) => {
        const { topology } = parseTopology([{ file: 'random', content }]);
        return printRuleset(compile(topology, () => true, DEFAULT_OPTIONS).ruleset);
      });
      expect(second).toBe(first);
    }),
    { numRuns: 100 },
  );
});

/** Every list of a document in another order. */
function shuffleLists(value: unknown, numbers: Iterator<number>): unknown {
  if (Array.isArray(value)) {
    const keyed = value.map((entry: unknown) => ({
      key: Number(numbers.next().value),
      entry: shuffleLists(entry, numbers),
    }));
    return keyed.sort((a, b) => a.key - b.key).map(({ entry }) => entry);
  }
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, shuffleLists(entry, numbers)]));
}
