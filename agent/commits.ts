/**
 * Makes transactions of nf_tables, by nft or over netlink, and knows them again when the kernel tells of them. The watching process is
 * told of each before it can be made, since it closes what others open.
 */
import { printStage, printTransaction, type Stage, type Transaction } from '../compiler/index.js';
import type { Clock } from './clock.js';
import type { Kernel, Make, WithoutNft } from './kernel/driver.js';
import { KernelError } from './kernel/errors.js';
import { OwnCommits, type OwnCommit } from './own-commits.js';
import type { CommitOrder, Committed } from './watch/events.js';

/** The kernel tells of a transaction at once; a watching process that is late by as much is to be doubted. */
const NOTICE_WITHIN_MS = 1000;

/** How often a transaction is sent for which others were quicker; nft, which makes it then, tries without end. */
const MOST_TRIES = 5;

export interface CommitsListener {
  /** Called before a transaction can be made, and when it is over. */
  readonly onOrder: (order: CommitOrder) => void;
  /** A transaction of ours was told of by nobody in time. */
  readonly onSilence: () => void;
  /** nft makes a transaction: why it was not made without. */
  readonly onByNft: (why: string) => void;
}

export class Commits {
  readonly #expected = new OwnCommits();
  #last: OwnCommit | undefined;
  /** How often nobody listened for a while. */
  #gaps = 0;
  #onHeard: () => void = () => undefined;

  constructor(
    private readonly kernel: Pick<Kernel, 'applyText' | 'readGeneration' | 'withoutNft'>,
    private readonly clock: Clock,
    private readonly listener: CommitsListener,
  ) {}

  /**
   * Applies a stage as one transaction: without nft where that can be, and else, or where the kernel refuses it so, with nft, whose word is
   * the last. What became of one that was not answered is not known: it is not tried again.
   * @throws KernelError `ineffective` when it is said to be done and the kernel has made none.
   */
  async apply(stage: Stage): Promise<void> {
    const why = await this.#applyWithoutNft(await this.kernel.withoutNft(stage));
    if (why === undefined) return;
    this.listener.onByNft(why);
    await this.applyText(printStage(stage));
  }

  /**
   * Applies transactions one after the other that are pieces of a large one. The next one is made when the notice of the last one was heard:
   * all of their notices together would not fit the buffer of the watching process, which then knows nothing. What is not made without nft
   * nft makes with all that is left: its start is what costs, and its reading of what is there.
   * @param isDisturbed whether somebody else was heard to change our tables since: what is ahead may be gone then, and must not be led to.
   * @throws KernelError as {@link apply} does, and `interrupted` where somebody disturbs it, or may have while nobody listened in time; the
   * pieces before are there.
   */
  async applyAhead(pieces: readonly Transaction[], isDisturbed: () => boolean): Promise<void> {
    const prepare = async (transaction: Transaction): Promise<WithoutNft> =>
      this.kernel.withoutNft({ closing: '', transaction });
    // Who does not listen is waited for once.
    let isHeard = true;
    /** Nobody made a transaction between ours: their generations follow each other. */
    let isAlone = true;
    let made: number | undefined;
    const gaps = this.#gaps;
    let prepared: WithoutNft | undefined;
    for (const [index, transaction] of pieces.entries()) {
      const why = await this.#applyWithoutNft(prepared ?? (await prepare(transaction)));
      if (why !== undefined) {
        this.listener.onByNft(why);
        await this.applyText(pieces.slice(index).map(printTransaction).join(''));
      }
      const next = why === undefined ? pieces[index + 1] : undefined;
      // The watching process reads meanwhile.
      prepared = next === undefined ? undefined : await prepare(next);
      isHeard &&= await this.#isLastHeard();
      if (this.#last !== undefined) {
        const { before, after } = this.#last;
        isAlone &&= after === next32(before) && (made === undefined || before === made);
        made = after;
      }
      if (isDisturbed())
        throw new KernelError('interrupted', 'somebody else changed our tables while a large load was made');
      if (next === undefined && !isAlone && (!isHeard || gaps !== this.#gaps))
        throw new KernelError(
          'interrupted',
          'others changed the ruleset while a large load was made, and nobody told what',
        );
      if (next === undefined) return;
    }
  }

  /**
   * Applies nft text as one transaction.
   * @throws KernelError `ineffective` when nft says that it did and the kernel has made none.
   */
  async applyText(text: string): Promise<void> {
    // The port id of nft(8) is its process id.
    await this.#commit('nft', async (onPort) => this.kernel.applyText(text, onPort));
  }

  /** @returns why nothing was applied; undefined where it was. */
  async #applyWithoutNft(without: WithoutNft): Promise<string | undefined> {
    if (without.kind === 'cannot') return without.why;
    for (let tries = 1; ; tries++) {
      try {
        await this.#commit('the kernel', without.make);
        return undefined;
      } catch (error) {
        if (!(error instanceof KernelError)) throw error;
        // Somebody else was quicker, as may happen again.
        if (error.code === 'outdated' && tries < MOST_TRIES) continue;
        if (error.code === 'outdated' || error.code === 'refused') return error.message;
        throw error;
      }
    }
  }

  /**
   * Runs a program that makes transactions of tables that are not ours: iptables-nft. The watching process closes nothing for these, and is
   * not told.
   * @param most how many.
   * @param start is given what must be called with the program's process id, its port id.
   * @throws KernelError `ineffective` when the program says that it did and the kernel has made none.
   */
  async run(name: string, most: number, start: Make): Promise<void> {
    await this.#commit(name, start, { most, isTold: false });
  }

  /** Makes one transaction without nft. Rejects as `make` does. */
  async make(make: Make): Promise<void> {
    await this.#commit('the kernel', make);
  }

  /** True when the transaction is one of ours; its notice is awaited no more. */
  claims({ generation, portId }: Committed): boolean {
    const isOurs = this.#expected.claims(portId, generation);
    this.#onHeard();
    return isOurs;
  }

  /** Nobody listened for a while: no notice is awaited. */
  forget(): void {
    this.#gaps++;
    this.#expected.forget();
    this.#onHeard();
  }

  /** Waits until the notice of the last transaction is awaited no more. @returns false when it is late. */
  async #isLastHeard(): Promise<boolean> {
    const commit = this.#last;
    if (commit === undefined || !this.#expected.has(commit)) return true;
    return new Promise((resolve) => {
      const callOff = this.#whenLate(() => {
        resolve(!this.#expected.has(commit));
      });
      this.#onHeard = () => {
        if (this.#expected.has(commit)) return;
        callOff();
        resolve(true);
      };
    });
  }

  /** Calls back when a notice is late. One that lies there is read before: this process may have been busy. @returns calls it off. */
  #whenLate(callback: () => void): () => void {
    let callOff = this.clock.after(NOTICE_WITHIN_MS, () => {
      callOff = this.clock.after(0, callback);
    });
    return () => {
      callOff();
    };
  }

  async #commit(
    by: string,
    make: Make,
    { most, isTold }: { readonly most: number; readonly isTold: boolean } = { most: 1, isTold: true },
  ): Promise<void> {
    const commit: OwnCommit = {
      before: await this.kernel.readGeneration(),
      after: undefined,
      portId: undefined,
      awaited: most,
    };
    const order = (what: CommitOrder): void => {
      if (isTold) this.listener.onOrder(what);
    };
    const over = (after: number, isMade: boolean): void => {
      const { portId, before } = commit;
      if (portId !== undefined) order({ kind: 'own-over', portId, before, after, isMade });
    };
    this.#expected.add(commit);
    try {
      await make((portId) => {
        commit.portId = portId;
        order({ kind: 'own-begins', portId, before: commit.before });
      }, commit.before);
      commit.after = await this.kernel.readGeneration();
    } catch (error) {
      // Whatever was made of it all the same is compared, as if it were somebody else's; the watching process must not take it back.
      this.#expected.delete(commit);
      // Where even that cannot be asked, it made the next generation or none: its port id must not be ours for ever.
      over(await this.kernel.readGeneration().catch(() => next32(commit.before)), false);
      throw error;
    }
    over(commit.after, true);
    if (commit.after === commit.before) {
      this.#expected.delete(commit);
      throw new KernelError(
        'ineffective',
        `${by} said that it had applied a transaction, and the kernel has made none`,
      );
    }
    this.#last = commit;
    this.#whenLate(() => {
      if (!this.#expected.has(commit)) return;
      // A notice that comes later is of ours all the same: taken for somebody else's, it would close. A program may make fewer than it could.
      if (commit.awaited === most) this.listener.onSilence();
      else this.#expected.delete(commit);
    });
  }
}

/** The generation behind another one: they are 32 bits, and begin anew. */
function next32(generation: number): number {
  return (generation + 1) >>> 0;
}
