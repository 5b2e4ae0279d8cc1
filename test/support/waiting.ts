/** Waits for states. What ends a wait in vain is that nothing changes any more, never how long the whole of it takes. */
import { once, type EventEmitter } from 'node:events';
import { setTimeout } from 'node:timers/promises';
import { inspect } from 'node:util';
import { patience } from './patience.js';
import { step } from './progress.js';

/** Milliseconds without anything new after which a wait is given up, on a quiet machine. */
const SILENCE = 30_000;
/** Between two looks, in milliseconds: at first, and at most. */
const FIRST_INTERVAL = 5;
const LONGEST_INTERVAL = 100;

/** Looks at a state, at first often and then less so: a look takes from the processors what those need who are waited for. */
export class Looks {
  #interval = FIRST_INTERVAL;

  /** Until the next look, or until there is news, after which more is to be expected. */
  async pause(news?: EventEmitter): Promise<void> {
    const done = new AbortController();
    const { signal } = done;
    const waits: Promise<boolean>[] = [setTimeout(this.#interval, false, { signal })];
    if (news !== undefined) waits.push(once(news, 'news', { signal }).then(() => true));
    for (const wait of waits) wait.catch(() => undefined);
    const isNews = await Promise.race(waits);
    done.abort();
    this.#interval = isNews ? FIRST_INTERVAL : Math.min(LONGEST_INTERVAL, 1.4 * this.#interval);
  }
}

/** Waits until something holds that tells nothing before; fails when it does not for long. */
export async function eventually(holds: () => Promise<boolean> | boolean): Promise<void> {
  await progressing(
    () => holds.toString(),
    holds,
    () => '',
  );
}

/**
 * Waits until something holds, as long as something moves.
 * @param what is waited for, as the error says it
 * @param progress anything that differs when there was progress; it is said in the error, too
 */
export async function progressing(
  what: () => string,
  holds: () => Promise<boolean> | boolean,
  progress: () => unknown,
): Promise<void> {
  let before: string | undefined;
  let movedAt = performance.now();
  const looks = new Looks();
  while (!(await holds())) {
    const now = JSON.stringify(progress());
    if (now !== before) {
      step(`waited for: ${what()}`);
      movedAt = performance.now();
      before = now;
    } else if (performance.now() - movedAt > patience(SILENCE)) {
      const silence = Math.round(patience(SILENCE) / 1000).toString();
      throw new Error(`waited for ${what()}: nothing moved for ${silence} s${now === '""' ? '' : ` at ${now}`}`);
    }
    await looks.pause();
  }
}

export interface Waiting<T> {
  /** What is waited for, as it ends the sentence "waited for ...". */
  readonly what: string;
  readonly probe: () => T | Promise<T>;
  /** Throws while the answer is not the one that is waited for. */
  readonly check: (answer: T) => void;
  /** What the product said last, for the one who reads the failure. */
  readonly said: () => string;
}

/**
 * Asks until the answer is right.
 * @returns the right answer
 * @throws when the answers have been none but known ones for too long: what was waited for, what was wrong, what the product said
 * last. An answer that was there before is nothing new, so that going to and fro ends too.
 */
export async function until<T>({ what, probe, check, said }: Waiting<T>): Promise<T> {
  const known = new Set<string>();
  let changed = performance.now();
  const looks = new Looks();
  for (;;) {
    const answer = await probe();
    try {
      check(answer);
      return answer;
    } catch (error) {
      const text = inspect(answer, { depth: null, maxArrayLength: null, maxStringLength: null });
      if (!known.has(text)) {
        changed = performance.now();
        step(`waited for ${what}`);
      }
      known.add(text);
      const silence = performance.now() - changed;
      if (silence > patience(SILENCE)) throw new Error(inVain(what, silence, error, said()), { cause: error });
    }
    await looks.pause();
  }
}

/**
 * Waits for one thing that says nothing before it is done.
 * @throws when it takes longer than a thing of its kind may
 */
export async function within<T>(what: string, promise: Promise<T>, said: () => string): Promise<T> {
  step(`waited for ${what}`);
  const limit = new AbortController();
  const silence = patience(SILENCE);
  const expired = setTimeout(silence, undefined, { signal: limit.signal }).then(() => {
    throw new Error(inVain(what, silence, undefined, said()));
  });
  try {
    return await Promise.race([promise, expired]);
  } finally {
    // The race is decided: what the loser still says is nobody's concern.
    expired.catch(() => undefined);
    limit.abort();
  }
}

function inVain(what: string, silence: number, error: unknown, said: string): string {
  const wrong = error instanceof Error ? `: ${error.message}` : '';
  return `waited for ${what}, and nothing changed for ${Math.round(silence / 1000)} s${wrong}\nthe product said last:\n${said}`;
}

/** The end of a log. */
export function lastLines(log: string, count = 20): string {
  return log.trimEnd().split('\n').slice(-count).join('\n');
}
