/** When live flows are looked at, by a clock that goes as fast as it is told to. What is cut on the wire: kernel/revocation.test.ts. */
import { beforeEach, expect, it } from 'vitest';
import { Sweeper, type SweepResult } from '../../../agent/flows/sweeper.js';
import { addressKey, type Conntrack, type Flow } from '../../../agent/netlink/conntrack.js';
import { DEFAULT_OPTIONS, flowBits, HostCompiler, linkLocalAddress, type Touched } from '../../../compiler/index.js';
import { diffTopologies, EMPTY_TOPOLOGY, parseTopology } from '../../../compiler/model/index.js';
import { flow } from '../../support/flows.js';
import { settle, VirtualClock } from '../../support/simulator/clock.js';
import { exact, groupFields, portFields } from '../../support/world.js';

const BITS = flowBits(DEFAULT_OPTIONS);
const OWN = '10.0.0.1';
/** From somebody to the port: it let this flow in, and no rule of now would. */
const refused = (sourcePort: number): Flow => flow('192.0.2.9', OWN, BITS.responder, [sourcePort, 53]);
const TOUCHED: Touched = { prefixes: [exact(OWN)], gone: [], filtered: [], isLocal: true };
/** A look takes as long; in milliseconds. */
const TAKES = 20;

/** Connection tracking: what is listed is what was there when the list began. */
class FakeTracking implements Pick<Conntrack, 'flows' | 'mark'> {
  table: Flow[] = [];
  /** When each list began. */
  readonly lists: number[] = [];
  isBroken = false;

  constructor(private readonly clock: VirtualClock) {}

  readonly flows: Conntrack['flows'] = async (isWanted) => {
    this.lists.push(this.clock.now());
    const listed = this.table.filter(({ original: { source, destination } }) =>
      [source, destination].some((address) => isWanted(addressKey(address))),
    );
    await this.clock.sleep(TAKES);
    if (this.isBroken) throw new Error('interrupted');
    return listed;
  };

  readonly mark: Conntrack['mark'] = async (flows, bits, set) => {
    const some = new Set(flows.map(({ identity }) => identity.toString()));
    const isMeant = ({ identity }: Flow): boolean => some.has(identity.toString());
    this.table = this.table.map((one) =>
      isMeant(one) ? { ...one, mark: set ? one.mark | bits : one.mark & ~bits } : one,
    );
    return Promise.resolve(flows.length);
  };

  get cut(): number {
    return this.table.filter(({ mark }) => (mark & BITS.revoked) !== 0).length;
  }
}

let clock: VirtualClock;
let tracking: FakeTracking;
let results: Pick<SweepResult, 'looked' | 'revoked'>[];
let errors: number;
let sweeper: Sweeper;
let compiler: HostCompiler;
beforeEach(() => {
  clock = new VirtualClock();
  tracking = new FakeTracking(clock);
  [results, errors] = [[], 0];
  const content = { security_groups: [groupFields('closed', [])], ports: [portFields(1, ['closed'])] };
  compiler = new HostCompiler(() => true, DEFAULT_OPTIONS);
  compiler.update(diffTopologies(EMPTY_TOPOLOGY, parseTopology([{ file: 'test', content }]).topology));
  sweeper = new Sweeper({
    ...{ conntrack: tracking, clock, compiler, bits: BITS, widestPairLength: DEFAULT_OPTIONS.widestPairLength },
    onResult: ({ looked, revoked }) => results.push({ looked, revoked }),
    onOverwritten: () => undefined,
    onError: () => errors++,
  });
});

async function pass(milliseconds: number): Promise<void> {
  await settle();
  await clock.advance(milliseconds, settle);
}

it('a flow that enters the table during the first look is cut by the second, half a second after it, and looked at once more', async () => {
  sweeper.touched(TOUCHED, false);
  await pass(TAKES / 2);
  tracking.table.push(refused(1));
  await pass(TAKES / 2);
  expect([sweeper.hasLooked, tracking.cut]).toEqual([true, 0]);
  await pass(499);
  expect(tracking.lists).toEqual([0]);
  await pass(1 + TAKES);
  expect(tracking.cut).toBe(1);
  await pass(10_000);
  // What was revoked is looked at again: a packet that was under way may have written the mark as it had read it.
  expect(tracking.lists).toEqual([0, TAKES + 500, 2 * (TAKES + 500)]);
  expect(results.map(({ revoked }) => revoked)).toEqual([0, 1, 0]);
});

it('whatever is asked for during a look is one look after it, and its second look is the same for all', async () => {
  sweeper.touched(TOUCHED, false);
  await pass(TAKES / 2);
  sweeper.touched({ ...TOUCHED, prefixes: [exact('10.0.0.2')] }, false);
  sweeper.all();
  sweeper.touched(TOUCHED, false);
  expect(sweeper.hasLooked).toBe(false);
  await pass(10_000);
  expect(sweeper.hasLooked).toBe(true);
  expect(tracking.lists).toEqual([0, TAKES, TAKES + 500]);
});

it('flows of link-local addresses are cut as all others are, by what touched their port and by a look at everything', async () => {
  const content = { security_groups: [groupFields('closed', [])], ports: [portFields(1, ['closed'])] };
  const { topology } = parseTopology([{ file: 'test', content }]);
  const other = new HostCompiler(() => true, DEFAULT_OPTIONS);
  other.update(diffTopologies(EMPTY_TOPOLOGY, topology));
  const own = [...topology.ports.values()].map(({ mac }) => linkLocalAddress(mac).text).join();
  for (const look of [() => sweeper.touched(other.take().touched, false), () => sweeper.all()]) {
    tracking.table = [flow('fe80::9', own, BITS.responder, [1, 53])];
    look();
    await pass(TAKES);
    expect(tracking.cut).toBe(1);
    await pass(10_000);
  }
});

it('an end that has gone admits nothing any more, and the other one goes on, whomever the address belongs to now', async () => {
  const content = {
    security_groups: [groupFields('open', [{ direction: 'egress' }])],
    ports: [portFields(1, ['open'])],
  };
  compiler.update(diffTopologies(compiler.topology, parseTopology([{ file: 'test', content }]).topology));
  const both = BITS.originator | BITS.responder;
  const elsewhere = flow('192.0.2.9', '10.0.0.2', BITS.responder, [1, 53]);
  tracking.table = [flow(OWN, '10.0.0.2', both, [1, 53]), flow(OWN, '10.0.0.3', both, [1, 53]), elsewhere];
  sweeper.touched({ ...TOUCHED, gone: [exact('10.0.0.2'), exact(OWN)] }, false);
  await pass(10_000);
  sweeper.all();
  await pass(10_000);
  expect(tracking.table.map(({ mark }) => mark)).toEqual([BITS.originator, both, BITS.responder | BITS.revoked]);
});

it('a look that fails is made again half a second later, with what it was for', async () => {
  tracking.table.push(refused(1));
  tracking.isBroken = true;
  sweeper.touched(TOUCHED, false);
  await pass(1000);
  expect([errors, sweeper.hasLooked, tracking.cut]).toEqual([2, false, 0]);
  tracking.isBroken = false;
  await pass(1000);
  expect([errors, sweeper.hasLooked, tracking.cut]).toEqual([2, true, 1]);
  expect(tracking.lists.slice(0, 3)).toEqual([0, TAKES + 500, 2 * (TAKES + 500)]);
});

it('what only grants needs no look while no flow is known to be cut', async () => {
  sweeper.all();
  await pass(10_000);
  tracking.lists.length = 0;
  sweeper.touched(TOUCHED, true);
  await pass(10_000);
  expect(tracking.lists).toEqual([]);
  tracking.table.push(refused(1));
  sweeper.all();
  await pass(10_000);
  tracking.lists.length = 0;
  sweeper.touched(TOUCHED, true);
  await pass(10_000);
  expect(tracking.lists).toHaveLength(2);
});

it('stopped, it looks no more, though a second look was due', async () => {
  sweeper.touched(TOUCHED, false);
  await pass(TAKES);
  sweeper.stop();
  expect(clock.waiting).toBe(0);
  sweeper.all();
  await pass(10_000);
  expect(tracking.lists).toEqual([0]);
});
