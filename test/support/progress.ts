/**
 * What a test is doing: the step that it is at, for whoever waits for it (runner.ts, and scripts/test.mjs from outside), and what
 * those who know can tell when it fails.
 */
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Where scripts/test.mjs looks; undefined when a test is run by hand. */
const FOLDER = process.env['PORTCULLIS_PROGRESS'];
/** Between two notes for scripts/test.mjs; in milliseconds. */
const NOTE_EVERY = 100;

interface State {
  test: string;
  what: string;
  at: number;
  notedAt: number;
  readonly witnesses: Set<Witness>;
}

/** vitest loads a runner apart from the tests: what both know is kept where both find it. */
const KEY = Symbol.for('portcullis.test.progress');
const shared = globalThis as { [KEY]?: State | undefined };
const state = (shared[KEY] ??= {
  test: '',
  what: 'begins',
  at: performance.now(),
  notedAt: -Infinity,
  witnesses: new Set(),
});

/** Says that the test goes on, and what it does next. Cheap: may be called thousands of times a second. */
export function step(what: string): void {
  state.what = what;
  state.at = performance.now();
  if (FOLDER === undefined || state.at - state.notedAt < NOTE_EVERY) return;
  state.notedAt = state.at;
  const path = join(FOLDER, `step-${process.pid.toString()}`);
  writeFileSync(`${path}.next`, `${state.test}: ${what}`);
  renameSync(`${path}.next`, path);
}

/** The test that runs now. */
export function testBegins(test: string): void {
  state.test = test;
  state.notedAt = -Infinity;
  step('begins');
}

/** The last step, and how long ago it was; in milliseconds. */
export function lastStep(): { readonly what: string; readonly age: number } {
  return { what: state.what, age: performance.now() - state.at };
}

/** Tells, when a test fails, what it was about: a log's last lines, the rules that are loaded, packets. */
export interface Witness {
  readonly what: string;
  readonly tell: () => string | Promise<string>;
}

/** @returns takes the witness back, to be called when what it tells of is gone */
export function addWitness(what: string, tell: Witness['tell']): () => void {
  const witness = { what, tell };
  state.witnesses.add(witness);
  return () => {
    state.witnesses.delete(witness);
  };
}

/** What every witness has to say, the shortest first: whoever cuts it keeps the most. */
export async function testimony(): Promise<string> {
  const told: string[] = [];
  for (const { what, tell } of state.witnesses) {
    try {
      told.push(`${what}:\n${(await tell()).trimEnd()}`);
    } catch (error) {
      told.push(`${what}: cannot be told: ${String(error)}`);
    }
  }
  return told.sort((a, b) => a.length - b.length).join('\n');
}
