/** What `compile --confirm` brings back, on a simulated kernel. On a real one: kernel/commands.test.ts, kernel/faults-confirm.test.ts. */
import { expect, it } from 'vitest';
import { loadBaseline, planLoad, seesPackets } from '../../../agent/kernel/load.js';
import { readLoadedDevices } from '../../../agent/kernel/loaded-devices.js';
import { restoreAtLast, saveLoaded } from '../../../agent/kernel/saved.js';
import { baselineTables } from '../../../compiler/baseline.js';
import { DEFAULT_OPTIONS, stateOf, type Table } from '../../../compiler/index.js';
import { asListed, type ReadRule } from '../../../compiler/listing.js';
import { BEFORE, EVERYTHING, policyOf } from '../../support/plan-changes.js';
import { settle, VirtualClock } from '../../support/simulator/clock.js';
import { SimulatedKernel } from '../../support/simulator/kernel.js';
import { textOf } from '../../support/simulator/tables.js';

class Host {
  readonly clock = new VirtualClock();
  readonly kernel = new SimulatedKernel(
    this.clock,
    DEFAULT_OPTIONS,
    { isDirect: false, mostOfPiece: Infinity },
    () => undefined,
  );
  readonly driver = this.kernel.driver(() => true);

  /** Done when that is, and time has passed for it. */
  async until<T>(work: Promise<T>): Promise<T> {
    const done = new AbortController();
    void Promise.allSettled([work]).then(() => {
      done.abort();
    });
    for (await settle(); !done.signal.aborted;) await this.clock.advance(10, settle);
    return work;
  }

  async load(tables: readonly Table[]): Promise<void> {
    this.kernel.learn(tables);
    for (const { chains } of tables) for (const { rules } of chains.values()) rules.forEach(textOf);
    const plan = await this.until(planLoad(this.driver, { tables, iptables: undefined }));
    await this.until(plan.apply());
  }
}

const FORMER = policyOf(BEFORE).compiled.ruleset.tables;
const NEW = policyOf(EVERYTHING).compiled.ruleset.tables;

it('the former rules come back as they were, over the new ones, after a flush, and where there were none', async () => {
  for (const before of [FORMER, []]) {
    const host = new Host();
    await host.load(before);
    const held = host.kernel.dump();
    const saved = await host.until(saveLoaded(host.driver));
    for (const meanwhile of [async () => host.load(NEW), async () => host.load([])]) {
      await meanwhile();
      expect(await host.until(restoreAtLast(host.driver, host.clock, saved))).toBe(true);
      expect(host.kernel.dump()).toBe(held);
    }
  }
});

it('what fails is tried again, five times with half a second between, and not for ever', async () => {
  const host = new Host();
  await host.load(FORMER);
  const held = host.kernel.dump();
  const saved = await host.until(saveLoaded(host.driver));
  const restored = async (faults: number): Promise<readonly unknown[]> => {
    await host.load(NEW);
    // Of each try: what is loaded is read to be closed before, which may fail, and what is saved is applied.
    for (let nth = 0; nth < faults; nth++) host.kernel.fates.push('interrupted', 'interrupted');
    const [tries, since]: [number[], number] = [[], host.clock.now()];
    const isRestored = await host.until(
      restoreAtLast(host.driver, host.clock, saved, () => tries.push(Math.floor((host.clock.now() - since) / 500))),
    );
    return [isRestored, tries, host.kernel.dump() === held];
  };
  expect(await restored(2)).toEqual([true, [0, 1, 2], true]);
  expect(await restored(5)).toEqual([false, [0, 1, 2, 3, 4], false]);
});

it('what commands ask of a kernel, the simulated one answers as it holds it', async () => {
  const host = new Host();
  expect(await host.until(seesPackets(host.driver))).toBe(false);
  expect(await host.until(host.driver.readRules('inet'))).toBeUndefined();
  expect(await host.until(loadBaseline(host.driver, baselineTables(DEFAULT_OPTIONS)))).toBe(true);
  expect(await host.until(loadBaseline(host.driver, baselineTables(DEFAULT_OPTIONS)))).toBe(false);
  await host.load(FORMER);
  expect(await host.until(seesPackets(host.driver))).toBe(true);
  const devices = policyOf(BEFORE).compiled.policy.ports.map(({ device }) => device);
  expect([...(await host.until(readLoadedDevices(host.driver, 'nftables')))].sort()).toEqual([...devices].sort());
  const read = await host.until(host.driver.readRules('inet'));
  const [table] = FORMER;
  expect(read?.table).toMatchObject(stateOf(table ?? expect.fail('no table')));
  const conditions = (chains: Iterable<readonly [string, readonly ReadRule[]]>): ReadonlyMap<string, unknown> =>
    new Map([...chains].map(([name, rules]) => [name, rules.map((rule) => rule.conditions)]));
  const wanted = [...(table?.chains ?? [])].map(([name, { rules }]) => [name, rules.map(asListed)] as const);
  expect(conditions(read?.rules ?? [])).toEqual(conditions(wanted));
});
