/**
 * The reconcile loop on a simulated host: whatever the source says, whatever others do and whatever fails, the kernel ends as a
 * compilation from scratch, nothing is said to be enforced that is not, and nothing is opened meanwhile. docs/decisions/simulator.md
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseTopology, type Frame, type Topology } from '../../../compiler/model/index.js';
import { arbitraryFrame } from '../../support/arbitrary-topology.js';
import { NAMED_TOPOLOGIES } from '../../support/named-topologies.js';
import { SimulatedHost } from '../../support/simulator/host.js';
import {
  afterStep,
  arbitraryQuietScript,
  arbitraryScript,
  FIRST_POLICY,
  HOST,
  topologyOf,
  type Script,
} from '../../support/simulator/script.js';

const RUNS = Number(process.env['PORTCULLIS_SCRIPTS'] ?? 2000);

const frames = fc.array(arbitraryFrame(), { minLength: 2, maxLength: 2 });

async function run({ datapath, machine, steps }: Script, some: readonly Frame[] = []): Promise<SimulatedHost> {
  const host = new SimulatedHost({ datapath }, topologyOf(FIRST_POLICY), machine, some);
  let policy = FIRST_POLICY;
  for (const [wait, step] of steps) {
    await host.wait(wait);
    const after = afterStep(policy, step);
    if (after !== policy) host.say(topologyOf(after));
    policy = after;
    await host.take(step);
  }
  await host.end();
  return host;
}

describe('the reconcile loop', () => {
  it('keeps its promises, whatever happens', async () => {
    await fc.assert(
      fc.asyncProperty(arbitraryScript(), frames, async (script, some) => {
        await run(script, some);
      }),
      { numRuns: RUNS },
    );
  });

  /** What random ones found once: whatever the seed is, these are tried. */
  const FOUND: Readonly<Record<string, Script['steps']>> = {
    'a port that is not filtered is refused': [
      [0, { kind: 'port', port: 0, form: 8 }],
      [0, { kind: 'refuse', device: 'tapone' }],
      [0, { kind: 'fault', fate: 'slow', after: 0 }],
    ],
    'something is opened while a look brings changes in first': [
      [31_000, { kind: 'rules', group: 0, rules: [] }],
      [1, { kind: 'plug', device: 'vnet4', alias: 0 }],
      [0, { kind: 'foreign', what: 'flush base chain', nth: 0 }],
      [0, { kind: 'verification' }],
      [0, { kind: 'fault', fate: 'slow', after: 0 }],
    ],
    'a change comes while a look brings another one in first': [
      [6000, { kind: 'watching process dies' }],
      [13, { kind: 'fault', fate: 'slow', after: 1 }],
      [5, { kind: 'verification' }],
      [0, { kind: 'rules', group: 0, rules: [] }],
      [3, { kind: 'port', port: 0, form: 0 }],
    ],
    'a port that was refused gets another device': [
      [0, { kind: 'refuse', device: 'vnet4' }],
      [0, { kind: 'plug', device: 'vnet4', alias: 1 }],
      [31_000, { kind: 'plug', device: 'vnet4', alias: 0 }],
      [0, { kind: 'fault', fate: 'slow', after: 0 }],
    ],
    'a port that is refused is tried again just at the end': [
      [0, { kind: 'refuse', device: 'tapone' }],
      [0, { kind: 'fault', fate: 'slow', after: 0 }],
      [6000, { kind: 'refuse', device: 'tapone' }],
      [6000, { kind: 'port', port: 0, form: 3 }],
      [1200, { kind: 'rules', group: 0, rules: [] }],
    ],
  };
  it.each(Object.entries(FOUND))('%s: ends as it must', async (_name, steps) => {
    for (const isDirect of [false, true])
      await run({ datapath: 'routed', machine: { isDirect, mostOfPiece: 2000 }, steps });
  });

  it('takes the short way for every change that nothing is in doubt about, and no more steps than it takes', async () => {
    await fc.assert(
      fc.asyncProperty(arbitraryQuietScript(), async (script) => {
        const { applied, steps, told } = await run(script);
        expect(applied.filter(({ way }) => way === 'everything').map(({ reason }) => reason)).toEqual(['start']);
        expect(applied.length).toBeLessThanOrEqual(told);
        // The first one makes all of it.
        for (const { asked, changed } of steps.slice(1)) expect(asked).toBeLessThanOrEqual(2 * changed);
      }),
      { numRuns: RUNS / 10 },
    );
  });
});

type Document = Readonly<Record<string, readonly object[]>>;

const topology = (content: object): Topology => parseTopology([{ file: 'named', content }]).topology;

function onHost(document: Readonly<Record<string, unknown>>): Document {
  const all = document as Document;
  return { ...all, ports: (all['ports'] ?? []).map((port) => ({ ...port, 'binding:host_id': HOST })) };
}

function mapLists(document: Document, change: (list: readonly object[]) => readonly object[]): Document {
  return Object.fromEntries(Object.entries(document).map(([key, list]) => [key, change(list)]));
}

const SMALL = onHost(NAMED_TOPOLOGIES['remote-group']?.document ?? {});

/** What one topology is made of, as a course of several. */
const COURSES: readonly (readonly [string, (document: Document) => readonly Document[]])[] = [
  ['reversed', (document) => [mapLists(document, (list) => list.toReversed()), document]],
  ['emptied', (document) => [document, {}, document]],
  [
    'split',
    (document) => {
      const most = Math.max(...Object.values(document).map((list) => list.length));
      return Array.from({ length: most }, (_, index) => mapLists(document, (list) => list.slice(0, index + 1)));
    },
  ],
  ['merged', (document) => [SMALL, document]],
  ['sent twice', (document) => [document, document]],
];

describe.each(Object.entries(NAMED_TOPOLOGIES))('%s', (_name, { document, options = {} }) => {
  it.each(
    COURSES.flatMap(([course, of]) =>
      [true, false].map((isEach) => ({ course, of, when: isEach ? 'after each' : 'at the end', isEach })),
    ),
  )('$course, waited for $when, ends as compiled from scratch', async ({ of, isEach }) => {
    const [first = {}, ...others] = of(onHost(document));
    const host = new SimulatedHost(options, topology(first), { isDirect: true, mostOfPiece: 20 });
    await host.flush();
    for (const next of others) {
      host.say(topology(next));
      if (isEach) await host.flush();
    }
    await host.end();
  });
});
