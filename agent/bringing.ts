/**
 * What waits, brought into the kernel: the short way, by the steps that the incremental compiler gives; or the long one: read back what is
 * loaded, compare with a compilation from scratch, load the difference.
 */
import { isGrowth, type HostCompiler, type Touched } from '../compiler/index.js';
import type { Backend, Comparison, Overtaking, Plan } from './backends/backend.js';
import type { Clock } from './clock.js';
import type { Closings } from './closings.js';
import { AT_START, isMereLook } from './doubt.js';
import type { Applied } from './events.js';
import { KernelError } from './kernel/errors.js';
import type { Pending } from './pending.js';
import type { Quarantine } from './quarantine.js';
import type { EnforcerListener } from './reconciliation.js';

/** After as many failures in a row our tables are replaced as a whole, still in one transaction. */
const FAILURES_BEFORE_REPLACING = 3;

interface Parts {
  readonly compiler: HostCompiler;
  readonly backend: Backend;
  readonly pending: Pending;
  readonly closings: Closings;
  readonly quarantine: Quarantine;
  readonly clock: Clock;
  readonly listener: EnforcerListener;
}

export class Bringing {
  #isUnconfirmed = false;
  #overtaking: readonly Overtaking[] = [];
  /** What steps touched that were taken, and are not known to be in force. */
  readonly #untold = new Set<Touched>();

  constructor(private readonly parts: Parts) {}

  /** Nobody told of a transaction of ours: what is loaded must be seen before anything is called enforced. */
  get isUnconfirmed(): boolean {
    return this.#isUnconfirmed;
  }

  mustConfirm(): void {
    this.#isUnconfirmed = true;
  }

  /** Rules of others that stand before ours, as far as is known. */
  get overtaking(): readonly Overtaking[] {
    return this.#overtaking;
  }

  /**
   * One transaction, or two where a look finds changes.
   * @param failures how many there were in a row.
   * @returns false where nothing was loaded, since the kernel refused ports: without them it is to be tried again.
   * @throws KernelError; then everything is in doubt
   */
  async bring(failures: number): Promise<boolean> {
    const { pending } = this.parts;
    const { doubt } = pending;
    if (doubt === undefined) {
      await this.#changes();
      return true;
    }
    if (isMereLook(doubt)) {
      pending.clearDoubt();
      // Changes of the policy come first: they are no drift.
      if (pending.hasChanges) await this.#changes();
    }
    return this.#everything(doubt, failures);
  }

  async #changes(): Promise<void> {
    const { backend, clock, compiler, listener, pending } = this.parts;
    const changedAt = pending.begin();
    const { transaction, touched } = compiler.take();
    this.#untold.add(touched);
    const plan = backend.change(transaction, touched);
    if (plan.changes > 0) {
      const startedAt = clock.now();
      await plan.apply();
      this.#report(plan, 'changes', '', startedAt, changedAt);
    }
    const onlyGrows = transaction.every((change) => change.kind === 'update' && isGrowth(change.changes));
    this.#untold.delete(touched);
    listener.onTouched(touched, onlyGrows);
  }

  /** Of what was taken, what a look at every flow of the ports that are here does not see by itself. */
  #tellTouched({ gone }: Comparison): void {
    const all = [...this.#untold];
    this.#untold.clear();
    const [went, filtered] = [[...gone, ...all.flatMap((one) => one.gone)], all.flatMap((one) => one.filtered)];
    this.parts.listener.onTouched({ prefixes: [...went, ...filtered], gone: went, filtered, isLocal: true }, false);
  }

  async #everything(asked: string, failures: number): Promise<boolean> {
    const { backend, clock, closings, listener, pending, quarantine } = this.parts;
    // As before any transaction (enforcer.ts); behind the changes of a look something else may be being closed. No script was found that needs it.
    await closings.idle();
    // What came meanwhile says more.
    const reason = pending.doubt ?? asked;
    // Cleared first: a doubt that comes while we read counts.
    pending.clearDoubt();
    const count = closings.count;
    const wasChanged = pending.hasChanges;
    const changedAt = pending.begin();
    try {
      const startedAt = clock.now();
      const plan = await backend.plan(failures >= FAILURES_BEFORE_REPLACING, () => {
        const { touched } = this.parts.compiler.take();
        // Where it fails for days, nothing comes for most tries.
        if (touched.gone.length + touched.filtered.length > 0) this.#untold.add(touched);
      });
      // What came while we read is in the plan, and no drift: of a plan with both nothing is said.
      const isNews = wasChanged || pending.hasChanges;
      if (isMereLook(reason) && plan.changes > 0 && !isNews)
        listener.tell({ kind: 'drift-found', changes: plan.changes });
      if (plan.byNft !== undefined) listener.tell({ kind: 'read-by-nft', why: plan.byNft });
      if (!plan.areBodiesKnown) listener.tell({ kind: 'bodies-unknown' });
      this.#overtaking = plan.overtaking;
      if (this.#overtaking.length > 0) listener.tell({ kind: 'overtaken', overtaking: this.#overtaking });
      // Whoever took our tables away later left flows that nobody vouches for.
      if (plan.isFirst && reason === AT_START) await listener.onFirstLoad();
      try {
        await plan.apply();
      } catch (error) {
        if (!(error instanceof KernelError) || error.code !== 'refused') throw error;
        await quarantine.isolate(error);
        pending.doubts('ports that the kernel refuses were closed');
        return false;
      }
      this.#overtaking = [];
      if (this.#isUnconfirmed) await this.#confirm(plan);
      closings.takenBack(count);
      this.#tellTouched(plan);
      this.#report(plan, 'everything', reason, startedAt, changedAt);
      return true;
    } catch (error) {
      pending.stillDoubts(reason);
      throw error;
    }
  }

  /**
   * Looks whether what a plan was to bring is there.
   * @throws KernelError `ineffective` when it is not, whatever the program said.
   */
  async #confirm(plan: Comparison): Promise<void> {
    if (plan.changes > 0 && (await plan.remaining()) > 0) {
      throw new KernelError(
        'ineffective',
        'nft said that it had applied a transaction, and what is loaded is not that',
      );
    }
    this.#isUnconfirmed = false;
  }

  #report(
    { changes }: Plan,
    way: Applied['way'],
    reason: string,
    startedAt: number,
    changedAt: number | undefined,
  ): void {
    const now = this.parts.clock.now();
    this.parts.listener.tell({
      kind: 'applied',
      changes,
      way,
      reason,
      milliseconds: now - startedAt,
      latency: now - (changedAt ?? startedAt),
    });
  }
}
