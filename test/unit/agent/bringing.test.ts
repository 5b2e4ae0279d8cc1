/** What changes touched is told once they are in force, whichever way they came there. */
import { expect, it } from 'vitest';
import type { Backend } from '../../../agent/backends/backend.js';
import { Enforcer } from '../../../agent/enforcer.js';
import { KERNEL } from '../../../agent/kernel/driver.js';
import { KernelError } from '../../../agent/kernel/errors.js';
import { DEFAULT_OPTIONS, type Touched } from '../../../compiler/index.js';
import { diffTopologies, EMPTY_TOPOLOGY, parseTopology, type Topology } from '../../../compiler/model/index.js';
import { settle, VirtualClock } from '../../support/simulator/clock.js';
import { exact, groupFields, portFields, type Fields } from '../../support/world.js';

const topologyOf = (port: Fields): Topology => {
  const content = { security_groups: [groupFields('closed', [])], ports: [portFields(1, ['closed']), port] };
  return parseTopology([{ file: 'test', content }]).topology;
};
const FORMER = topologyOf(portFields(2, [], { port_security_enabled: false }));
const LATTER = topologyOf(portFields(2, ['closed'], { fixed_ips: [{ ip_address: '10.0.0.77' }] }));
const UNKNOWN = exact('10.0.0.9');

it.each([
  ['the short way', false, []],
  ['the short way, which was refused', false, ['changes']],
  ['the short way, and a long one, which were refused', false, ['changes', 'everything', 'everything']],
  ['the long way', true, []],
  ['the long way, which was refused', true, ['everything']],
] as const)('by %s', async (_what, isInDoubt, failing) => {
  const clock = new VirtualClock();
  const failures: string[] = [...failing];
  const told: Touched[] = [];
  const fail = async (way: string): Promise<void> => {
    await clock.sleep(10);
    if (failures[0] !== way) return;
    failures.shift();
    throw new KernelError('interrupted', 'not today');
  };
  const backend: Backend = {
    leftover: undefined,
    isInIptablesNft: false,
    plan: async (_anew, take) => {
      await clock.sleep(10);
      take();
      const [remaining, apply] = [async () => Promise.resolve(0), async () => fail('everything')];
      const what = { changes: 1, areBodiesKnown: true, byNft: undefined, isFirst: false, overtaking: [] };
      return { ...what, gone: [UNKNOWN], remaining, apply };
    },
    change: () => ({ changes: 1, apply: async () => fail('changes') }),
    wouldTake: async () => Promise.resolve(true),
  };
  const enforcer = new Enforcer(
    () => true,
    // Closes nothing: there is no kernel.
    { ...DEFAULT_OPTIONS, audit: true },
    { backend: 'nftables', kernel: KERNEL, clock, makeBackend: () => backend },
    {
      onFirstLoad: async () => Promise.resolve(),
      onTouched: (touched) => told.push(touched),
      onOwnCommit: () => undefined,
      onClosing: () => undefined,
      tell: () => undefined,
    },
  );
  const pass = async (): Promise<void> => {
    await settle();
    await clock.advance(10_000, settle);
  };
  enforcer.watchBegins();
  enforcer.changeTopology(diffTopologies(EMPTY_TOPOLOGY, FORMER));
  await pass();
  // Of what nobody took away while this process ran, what is loaded alone tells.
  expect(told.splice(0).map(({ gone, filtered }) => [gone, filtered])).toEqual([[[UNKNOWN], []]]);
  if (isInDoubt) enforcer.doubt('of the test');
  enforcer.changeTopology(diffTopologies(FORMER, LATTER));
  await pass();
  expect([failures, told.length, enforcer.isEnforced]).toEqual([[], 1, true]);
  const [{ prefixes, gone, filtered } = { prefixes: [], gone: [], filtered: [] }] = told;
  expect(gone.map(({ text }) => text)).toContain('10.0.0.2');
  expect(filtered.map(({ text }) => text)).toContain('10.0.0.77');
  expect(prefixes).toEqual(expect.arrayContaining([...gone, ...filtered]));
  await enforcer.stop();
});
