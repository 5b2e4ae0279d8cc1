/** How transactions are made: without nft as long as that can be, and by pieces no faster than the watching process hears of them. */
import { expect, it } from 'vitest';
import { Commits } from '../../../agent/commits.js';
import { KernelError, type KernelErrorCode } from '../../../agent/index.js';
import type { Stage, Transaction } from '../../../compiler/index.js';
import { settle, VirtualClock } from '../../support/simulator/clock.js';

const PORT_ID = 4711;
const never = (): boolean => false;
const piece = (name: string): Transaction => [{ kind: 'delete', before: { ...EMPTY, name } }];
const EMPTY = { family: 'inet', oddities: '', sets: new Map(), chains: new Map() } as const;

/** A kernel that answers as it is told, and says what was made. */
class FakeKernel {
  generation = 7;
  /** Transactions that others make right behind the next one of ours. */
  othersBehind = 0;
  readonly made: string[] = [];
  /** Answers to come, to what goes without nft; done when there are none. */
  readonly answers: (KernelErrorCode | 'done')[] = [];
  readonly clock = new VirtualClock();
  readonly commits = new Commits(
    {
      readGeneration: async () => Promise.resolve(this.generation),
      applyText: async (text, onPort) => {
        onPort?.(PORT_ID);
        this.#make(`nft: ${text}`);
        return Promise.resolve();
      },
      withoutNft: async (stage) =>
        Promise.resolve({
          kind: 'can',
          make: async (onPort, generation) => {
            onPort(PORT_ID);
            const answer = this.answers.shift() ?? 'done';
            if (answer !== 'done') throw new KernelError(answer, answer);
            expect(generation).toBe(this.generation);
            this.#make(nameOf(stage));
            return Promise.resolve();
          },
        }),
    },
    this.clock,
    { onOrder: () => undefined, onSilence: () => this.made.push('silence'), onByNft: (why) => this.made.push(why) },
  );

  /** The watching process tells of the last one. */
  async isHeard(): Promise<void> {
    const change = { generation: this.generation, portId: PORT_ID, pid: 1, program: 'node' };
    expect(this.commits.claims(change)).toBe(true);
    await settle();
  }

  #make(what: string): void {
    this.generation += 1 + this.othersBehind;
    this.othersBehind = 0;
    this.made.push(what);
  }
}

function nameOf({ transaction }: Pick<Stage, 'transaction'>): string {
  return transaction.map((change) => (change.kind === 'delete' ? change.before.name : '')).join();
}

it.each([
  ['once', 1, ['a']],
  ['four times', 4, ['a']],
  ['five times', 5, ['outdated', 'nft: delete table inet a\n']],
])('who comes between %s has it made anew, and nft make it in the end', async (_times, count, made) => {
  const kernel = new FakeKernel();
  for (let time = 0; time < count; time++) kernel.answers.push('outdated');
  await kernel.commits.apply({ closing: '', transaction: piece('a') });
  expect(kernel.made).toEqual(made);
});

it('the next piece is made when the last one was told of', async () => {
  const kernel = new FakeKernel();
  const done = kernel.commits.applyAhead([piece('a'), piece('b'), piece('c')], never);
  await settle();
  expect(kernel.made).toEqual(['a']);
  await kernel.isHeard();
  expect(kernel.made).toEqual(['a', 'b']);
  await kernel.isHeard();
  expect(kernel.made).toEqual(['a', 'b', 'c']);
  await kernel.isHeard();
  await done;
});

it('what somebody else did meanwhile ends it, before anything leads to what may be gone', async () => {
  for (const count of [1, 2]) {
    const kernel = new FakeKernel();
    let isDisturbed = false;
    const done = kernel.commits.applyAhead([piece('a'), piece('b')], () => isDisturbed);
    const outcome = expect(done).rejects.toMatchObject({ code: 'interrupted' });
    await settle();
    for (let heard = 1; heard < count; heard++) await kernel.isHeard();
    isDisturbed = true;
    await kernel.isHeard();
    await outcome;
    expect(kernel.made).toEqual(['a', 'b'].slice(0, count));
  }
});

it('who tells of none is waited for once', async () => {
  const kernel = new FakeKernel();
  const done = kernel.commits.applyAhead([piece('a'), piece('b'), piece('c')], never);
  await settle();
  await kernel.clock.advance(1000, settle);
  expect(kernel.made).toEqual(['a', 'silence', 'b', 'c']);
  await done;
});

it.each([
  ['who is late', async ({ clock }: FakeKernel) => clock.advance(1000, settle)],
  [
    'one who is gone each time',
    async ({ commits }: FakeKernel) => {
      for (let gap = 0; gap < 3; gap++) {
        commits.forget();
        await settle();
      }
    },
  ],
])('what others do between the pieces ends it where it would be known from nobody but %s', async (_who, wait) => {
  const kernel = new FakeKernel();
  const done = kernel.commits.applyAhead([piece('a'), piece('b'), piece('c')], never);
  const outcome = expect(done).rejects.toMatchObject({ code: 'interrupted' });
  await settle();
  kernel.generation++;
  await wait(kernel);
  await outcome;
  expect(kernel.made.filter((what) => what !== 'silence')).toEqual(['a', 'b', 'c']);
});

it('what others do before it is known which generation a piece made is between the pieces, too', async () => {
  const kernel = new FakeKernel();
  kernel.othersBehind = 1;
  const outcome = expect(kernel.commits.applyAhead([piece('a'), piece('b')], never)).rejects.toMatchObject({
    code: 'interrupted',
  });
  await settle();
  await kernel.clock.advance(1000, settle);
  await outcome;
});

it('what others do between the pieces ends nothing where whoever listens says that it is none of ours', async () => {
  const kernel = new FakeKernel();
  const done = kernel.commits.applyAhead([piece('a'), piece('b')], never);
  await settle();
  const { generation } = kernel;
  kernel.generation++;
  expect(kernel.commits.claims({ generation, portId: PORT_ID, pid: 1, program: 'node' })).toBe(true);
  await settle();
  await kernel.isHeard();
  await done;
  expect(kernel.made).toEqual(['a', 'b']);
});

it('a notice that lay there while this process was busy is no silence', async () => {
  const kernel = new FakeKernel();
  await kernel.commits.apply({ closing: '', transaction: piece('a') });
  let isRead = false;
  await kernel.clock.advance(1000, async () => {
    // The timer comes first, as where the event loop stood still; what lies in the pipe is read behind it.
    if (!isRead) await kernel.isHeard();
    isRead = true;
  });
  expect(kernel.made).toEqual(['a']);
});

it('when nobody listens any more no piece is waited for', async () => {
  const kernel = new FakeKernel();
  const done = kernel.commits.applyAhead([piece('a'), piece('b')], never);
  await settle();
  kernel.commits.forget();
  await settle();
  expect(kernel.made).toEqual(['a', 'b']);
  kernel.commits.forget();
  await done;
});

it('what is refused without nft nft makes, with all that is left and nothing of what is there', async () => {
  const kernel = new FakeKernel();
  kernel.answers.push('done', 'refused');
  const done = kernel.commits.applyAhead([piece('a'), piece('b'), piece('c')], never);
  await settle();
  await kernel.isHeard();
  await kernel.isHeard();
  await done;
  expect(kernel.made).toEqual(['a', 'refused', 'nft: delete table inet b\ndelete table inet c\n']);
});

it('one of which nothing is known is not sent again, and ends the load', async () => {
  const kernel = new FakeKernel();
  kernel.answers.push('done', 'interrupted');
  const done = kernel.commits.applyAhead([piece('a'), piece('b'), piece('c')], never);
  await settle();
  const outcome = expect(done).rejects.toMatchObject({ code: 'interrupted' });
  await kernel.isHeard();
  await outcome;
  expect(kernel.made).toEqual(['a']);
});
