/** Time, as whoever waits is given it: a simulator's goes as fast as it can compute. In milliseconds. */
import { setTimeout as startTimer } from 'node:timers';
import { setTimeout } from 'node:timers/promises';

export interface Clock {
  /** Monotonic. */
  readonly now: () => number;
  /** Calls back later, and keeps no process alive for it. @returns what calls it off. */
  readonly after: (milliseconds: number, callback: () => void) => () => void;
  /** Done later, or as soon as the signal comes. */
  readonly sleep: (milliseconds: number, signal?: AbortSignal) => Promise<void>;
}

export const CLOCK: Clock = {
  now: () => performance.now(),
  after: (milliseconds, callback) => {
    const timer = startTimer(callback, milliseconds);
    timer.unref();
    return () => {
      clearTimeout(timer);
    };
  },
  sleep: async (milliseconds, signal) => setTimeout(milliseconds, undefined, { signal }).catch(() => undefined),
};

/** A point in time: what the calendar says of it, and how long ago it is, whatever is done to the calendar's clock meanwhile. */
export interface Moment {
  readonly at: Date;
  /** In milliseconds. */
  readonly age: () => number;
}

/** The present one. */
export function momentOf(clock: Clock): Moment {
  const began = clock.now();
  return { at: new Date(), age: () => clock.now() - began };
}

/** As long, but for up to so large a part of it less or more: what many begin at once they do not all do again at once. */
export function spread(milliseconds: number, part: number, random: Random = Math.random): number {
  return milliseconds * (1 - part + 2 * part * random());
}

/** From 0 up to 1. */
export type Random = () => number;

/**
 * Does something again and again, and keeps no process alive for it.
 * @param first before the first time.
 * @param work says how long the pause behind it is; must not reject.
 * @returns what ends it.
 */
export function again(clock: Clock, first: number, work: () => Promise<number>): () => void {
  let isOver = false;
  let callOff: () => void = () => undefined;
  const later = (milliseconds: number): void => {
    if (!isOver) callOff = clock.after(milliseconds, () => void work().then(later));
  };
  later(first);
  return () => {
    isOver = true;
    callOff();
  };
}

/** Milliseconds as they are said: to a tenth. */
export function tenths(milliseconds: number): number {
  return Math.round(10 * milliseconds) / 10;
}
