/** A comparison that is asked for again and again comes again, whatever else there is to do. */
import { expect, it } from 'vitest';
import type { Backend } from '../../../agent/backends/backend.js';
import { Enforcer } from '../../../agent/enforcer.js';
import { KERNEL } from '../../../agent/kernel/driver.js';
import { KernelError } from '../../../agent/kernel/errors.js';
import { DEFAULT_OPTIONS } from '../../../compiler/index.js';
import type { SecurityGroup } from '../../../compiler/model/index.js';
import { settle, VirtualClock } from '../../support/simulator/clock.js';

const GROUP: SecurityGroup = { id: 'group', name: 'group', projectId: '', stateful: true, rules: [] };
/** In milliseconds. */
const TAKES = 10;

/** A loop whose policy is another one each time that it was at work. */
class BusyHost {
  readonly clock = new VirtualClock();
  compared = 0;
  isRefusing = false;
  /** Changes of the policy that are to come. */
  left = 0;
  readonly #backend: Backend = {
    leftover: undefined,
    isInIptablesNft: false,
    plan: async () => {
      await this.#work();
      if (this.isRefusing) throw new KernelError('interrupted', 'not today');
      this.compared++;
      const [remaining, apply] = [async () => Promise.resolve(0), async () => Promise.resolve()];
      const what = { changes: 0, areBodiesKnown: true, byNft: undefined, isFirst: false, gone: [], overtaking: [] };
      return { ...what, remaining, apply };
    },
    change: () => ({
      changes: 1,
      apply: async () => this.#work(),
    }),
    wouldTake: async () => Promise.resolve(true),
  };
  readonly enforcer = new Enforcer(
    () => true,
    // Closes nothing: there is no kernel.
    { ...DEFAULT_OPTIONS, audit: true },
    { backend: 'nftables', kernel: KERNEL, clock: this.clock, makeBackend: () => this.#backend },
    {
      onFirstLoad: async () => Promise.resolve(),
      onTouched: () => undefined,
      onOwnCommit: () => undefined,
      onClosing: () => undefined,
      tell: () => undefined,
    },
  );

  async begin(): Promise<void> {
    this.enforcer.watchBegins();
    this.enforcer.changeTopology({ ports: new Map(), securityGroups: new Map(), addressGroups: new Map() });
    await this.pass(5 * TAKES);
    this.compared = 0;
  }

  async pass(milliseconds: number): Promise<void> {
    // What was begun just now sets its timers first.
    await settle();
    await this.clock.advance(milliseconds, settle);
  }

  async #work(): Promise<void> {
    await this.clock.sleep(TAKES);
    if (this.left > 0) this.another();
  }

  another(): void {
    this.left--;
    const name = `group ${this.left.toString()}`;
    this.enforcer.changeTopology({
      ports: new Map(),
      addressGroups: new Map(),
      securityGroups: new Map([[GROUP.id, { ...GROUP, name }]]),
    });
  }
}

it('is over when it is, though the policy changes without end', async () => {
  const host = new BusyHost();
  await host.begin();
  host.left = 1000;
  host.another();
  await host.pass(5 * TAKES);
  let isOver = false;
  void host.enforcer.verify().then(() => {
    isOver = true;
  });
  await host.pass(5 * TAKES);
  expect([host.compared, isOver, host.enforcer.isIdle]).toEqual([1, true, false]);
});

it('is not over before one that began later is, nor where it failed', async () => {
  const host = new BusyHost();
  await host.begin();
  const over: string[] = [];
  const verify = (name: string): void => void host.enforcer.verify().then(() => over.push(name));
  verify('first');
  await host.pass(TAKES / 2);
  verify('second');
  await host.pass(TAKES);
  expect([host.compared, over]).toEqual([1, []]);
  await host.pass(TAKES);
  expect([host.compared, over]).toEqual([2, ['first', 'second']]);
  host.isRefusing = true;
  verify('refused');
  await host.pass(1000);
  expect(over).toEqual(['first', 'second']);
  host.isRefusing = false;
  await host.pass(10_000);
  expect(over).toEqual(['first', 'second', 'refused']);
  await host.enforcer.stop();
});

it('is over where it is asked for while changes that are older go first', async () => {
  const host = new BusyHost();
  await host.begin();
  let over = 0;
  const verify = (): void => void host.enforcer.verify().then(() => over++);
  host.left = 1;
  host.another();
  verify();
  await host.pass(TAKES / 2);
  verify();
  await host.pass(10 * TAKES);
  expect([host.compared > 0, over]).toEqual([true, 2]);
});
