// Runs the command of a tier: shows its output line by line, and ends it when nothing has happened in it for long.
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { createInterface } from 'node:readline';
import { clearInterval, setInterval } from 'node:timers';
import { setTimeout } from 'node:timers/promises';

const LOOK_EVERY = 1000;
/** From asking a command to end to making it. In milliseconds. */
const GRACE = 15_000;
/** Lines of output that a message about a command shows. */
const SHOWN_LINES = 15;

const running = new Set();

/** Ends every command that runs, and what these started. */
export async function endAll() {
  await Promise.all([...running].map(async (end) => end()));
}

/** What is said of an end that the command did not choose. */
export class NoProgress extends Error {}

/**
 * @param {object} options
 * @param {readonly string[]} options.command program and arguments
 * @param {string} options.cwd
 * @param {NodeJS.ProcessEnv} options.env
 * @param {number} options.patience for how long nothing may happen; in milliseconds
 * @param {string} options.progress folder in which tests note what they do; any change there is progress
 * @param {(line: string) => void} options.show
 * @returns {Promise<number>} the exit code; 1 when a signal ended it
 * @throws {NoProgress} when it had to be ended
 */
export async function supervise({ command: [program, ...args], cwd, env, patience, progress, show }) {
  // A group of its own, so that what it started ends with it.
  const child = spawn(program, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  const last = [];
  let newsAt = performance.now();
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream, crlfDelay: Infinity }).on('line', (line) => {
      newsAt = performance.now();
      last.push(line);
      if (last.length > SHOWN_LINES) last.shift();
      show(line);
    });
  }
  let isEnded = false;
  const ended = new Promise((resolve, reject) => {
    child.once('error', reject);
    // When the pipes are closed, too: its last lines count.
    child.once('close', (code) => resolve(code ?? 1));
  }).finally(() => {
    isEnded = true;
  });
  const end = async () => {
    signal(child, 'SIGTERM');
    await Promise.race([ended, setTimeout(GRACE, undefined, { ref: false })]).catch(() => undefined);
    if (!isEnded) signal(child, 'SIGKILL');
  };
  running.add(end);
  let noted = '';
  let stuck;
  const watch = setInterval(() => {
    const notes = fingerprint(progress);
    if (notes !== noted) {
      noted = notes;
      newsAt = performance.now();
    }
    const age = performance.now() - newsAt;
    if (age < patience || stuck !== undefined) return;
    const steps = stepsIn(progress);
    stuck = [
      `no progress for ${Math.round(age / 1000)} s: ended`,
      ...steps.map((step) => `  last step: ${step}`),
      ...last.map((line) => `  it said last: ${line}`),
    ].join('\n');
    void end();
  }, LOOK_EVERY);
  try {
    const code = await ended;
    if (stuck !== undefined) throw new NoProgress(stuck);
    return code;
  } finally {
    clearInterval(watch);
    running.delete(end);
  }
}

function signal(child, name) {
  try {
    process.kill(-child.pid, name);
  } catch {
    // It is gone already.
  }
}

function fingerprint(folder) {
  if (!existsSync(folder)) return '';
  return readdirSync(folder)
    .map((name) => {
      const { size, mtimeMs } = statSync(join(folder, name), { throwIfNoEntry: false }) ?? {};
      return `${name} ${size} ${mtimeMs}`;
    })
    .join('\n');
}

/** What the processes of tests noted last: test/support/progress.ts. */
function stepsIn(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => /^step-\d+$/.test(name))
    .map((name) => readFileSync(join(folder, name), 'utf8'));
}
