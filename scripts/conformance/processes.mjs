// Children of a suite: their lines, their end, and a limit to their silence.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { clearTimeout, setTimeout } from 'node:timers';

/** Milliseconds on a quiet machine without a line after which a child is given up. */
const SILENCE = 300_000;

const silence = () => SILENCE * Number(process.env.PORTCULLIS_SLOWNESS ?? 1);

/** Those that run. Whatever ends us ends them. */
const running = new Set();
process.once('exit', () => {
  for (const child of running) killGroup(child);
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => process.exit(1));

function killGroup(child) {
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    // It has ended.
  }
}

/**
 * Starts a program, in a group of its own.
 * @param onLine called with each line of its output (and of its errors, when `withErrors`); a line proves that it is at work
 * @param mayBeSilent for one that says nothing while all is well
 * @returns `ended`: its exit code, undefined when a signal or our patience ended it; `end`: ends it and whatever it started, and waits
 */
export function start(program, args, { cwd, env, onLine, withErrors = false, mayBeSilent = false }) {
  const child = spawn(program, args, {
    cwd,
    env: { ...process.env, ...env },
    stdio: ['pipe', 'pipe', withErrors ? 'pipe' : 'ignore'],
    detached: true,
  });
  running.add(child);
  let isSilent = false;
  let timer;
  const heard = () => {
    clearTimeout(timer);
    if (mayBeSilent) return;
    timer = setTimeout(() => {
      isSilent = true;
      killGroup(child);
    }, silence());
  };
  heard();
  for (const stream of [child.stdout, child.stderr]) {
    if (stream === null) continue;
    createInterface({ input: stream }).on('line', (line) => {
      heard();
      onLine(line);
    });
  }
  const ended = new Promise((resolve) => {
    child.once('error', (error) => {
      onLine(`${program}: ${error.message}`);
      resolve({ status: undefined, isSilent });
    });
    child.once('close', (status) => {
      clearTimeout(timer);
      running.delete(child);
      resolve({ status: status ?? undefined, isSilent });
    });
  });
  return {
    ended,
    end: async () => {
      killGroup(child);
      await ended;
    },
  };
}

/**
 * Starts a program that serves until it is ended, and waits for the line that says so.
 * @param isReady from a line: what is to be known of it, undefined while it is not ready
 * @returns the program, with what `isReady` found as `ready` and its last lines as `said`
 * @throws when it ends before, or says nothing more
 */
export async function serve(program, args, { env, isReady }) {
  const lines = [];
  let found;
  const ready = new Promise((resolve) => (found = resolve));
  const daemon = start(program, args, {
    env,
    withErrors: true,
    mayBeSilent: true,
    onLine: (line) => {
      lines.push(line);
      if (lines.length > 200) lines.shift();
      const answer = isReady(line);
      if (answer !== undefined) found({ answer });
    },
  });
  const said = () =>
    lines
      .slice(-20)
      .map((line) => line.slice(0, 300))
      .join('\n');
  let timer;
  const late = new Promise((resolve) => (timer = setTimeout(resolve, silence(), 'it says nothing')));
  const first = await Promise.race([ready, daemon.ended.then(() => 'it ended'), late]);
  clearTimeout(timer);
  if (typeof first === 'string') {
    await daemon.end();
    throw new Error(`${program} ${args.join(' ')} does not start: ${first}\n${said()}`);
  }
  return { ...daemon, ready: first.answer, said };
}
