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
import { judgeEgress, judgeIngress } from '../../../compiler/explain/index.js';
import { parseTopology, type Frame, type Port } from '../../../src/model/index.js';
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
              expect({ egress: ranEgress.verdict, device, frame, state }).toEqual({
                egress: egress.verdict,
                device,
                frame,
                state,
              });
            } else expect(datapath === 'routed' && isUnseenWhenRouted(frame)).toBe(true);
            const ingress = judgeIngress(context, port, random, state);
            const ranIngress = runIngress(ruleset, device, random, state, flow);
            if (ranIngress.verdict !== 'unseen') {
              verdicts[ingress.verdict]++;
              expect({ ingress: ranIngress.verdict, device, random, state }).toEqual({
                ingress: ingress.verdict,
                device,
                random,
                state,
              });
            } else expect(datapath === 'routed' && isUnseenWhenRouted(random)).toBe(true);
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
