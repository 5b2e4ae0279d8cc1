/**
 * Starts the programs that the agent stands on, each with a deadline: one that hangs is ended, with everything that it started, and
 * whatever it was asked for is in doubt.
 */
import { spawn, type ChildProcess } from 'node:child_process';

/** A program that was asked little of may take as long. */
const DEADLINE_MS = 10_000;
/** And as much more for each byte that it is given; in milliseconds. A megabyte of rules takes a loaded machine seconds. */
const DEADLINE_PER_BYTE = 0.02;
/** What one says beyond this is not what we asked for. */
const MOST_OUTPUT_BYTES = 512 * 1024 * 1024;
/** How often the deadline is doubled where one was not enough: a slow host gets there, a hung program costs a minute. */
const MOST_DOUBLINGS = 2;

export type ProgramResult =
  | {
      readonly kind: 'ended';
      readonly pid: number;
      readonly stdout: string;
      readonly stderr: string;
      readonly code: number;
    }
  /** A signal ended it that was not ours. */
  | { readonly kind: 'killed'; readonly signal: string }
  /** It did not end in time and was killed; whether it did anything is not known. */
  | { readonly kind: 'late'; readonly seconds: number }
  /** ENOENT, EACCES, EAGAIN, EMFILE, ...: errno(3). */
  | { readonly kind: 'not-started'; readonly code: string };

export interface ProgramOptions {
  /** For standard input. */
  readonly input?: string;
  /** Called once it runs. */
  readonly onStart?: (pid: number) => void;
  /** In place of what a host's loads may take, for a question that somebody waits for; in milliseconds. */
  readonly deadline?: number;
}

const running = new Set<ChildProcess>();
/** Deadlines that passed in a row, by program: of runs side by side one. */
const lateInARow = new Map<string, number>();

/** Runs a program to its end, or to its deadline. Never rejects. */
export async function runProgram(
  name: string,
  args: readonly string[],
  { input = '', onStart, deadline: given }: ProgramOptions = {},
): Promise<ProgramResult> {
  if (given !== undefined) return runUntil(given, name, args, input, onStart);
  const before = lateInARow.get(name) ?? 0;
  const doublings = Math.min(before, MOST_DOUBLINGS);
  const deadline = (DEADLINE_MS + DEADLINE_PER_BYTE * input.length) * 2 ** doublings;
  const result = await runUntil(deadline, name, args, input, onStart);
  if (result.kind === 'late') lateInARow.set(name, Math.max(lateInARow.get(name) ?? 0, before + 1));
  else lateInARow.delete(name);
  return result;
}

/** Ends whatever runs: for an agent that is asked to stop while a program of its own hangs. */
export function endPrograms(): void {
  for (const child of running) endGroup(child);
}

async function runUntil(
  deadline: number,
  name: string,
  args: readonly string[],
  input: string,
  onStart: ((pid: number) => void) | undefined,
): Promise<ProgramResult> {
  return new Promise((resolve) => {
    let child;
    try {
      // A group of its own: what hangs may be a child of what we start, and holds our pipes.
      child = spawn(name, args, { detached: true, stdio: 'pipe', env: { ...process.env, LC_ALL: 'C' } });
    } catch (error) {
      resolve({ kind: 'not-started', code: codeOf(error) });
      return;
    }
    const { pid, stdin, stdout, stderr } = child;
    const said = { stdout: [] as Buffer[], stderr: [] as Buffer[], bytes: 0 };
    const finish = (result: ProgramResult): void => {
      clearTimeout(timer);
      running.delete(child);
      // Somebody else may hold the other ends for ever.
      for (const stream of [stdin, stdout, stderr]) stream.destroy();
      resolve(result);
    };
    const timer = setTimeout(() => {
      endGroup(child);
      finish({ kind: 'late', seconds: Math.round(deadline / 1000) });
    }, deadline);
    const hear = (into: Buffer[]) => (chunk: Buffer) => {
      said.bytes += chunk.length;
      if (said.bytes > MOST_OUTPUT_BYTES) endGroup(child);
      else into.push(chunk);
    };
    child.once('error', (error) => {
      finish({ kind: 'not-started', code: codeOf(error) });
    });
    child.once('close', (code, signal) => {
      finish(
        code === null
          ? { kind: 'killed', signal: String(signal) }
          : { kind: 'ended', pid: pid ?? 0, code, stdout: textOf(said.stdout), stderr: textOf(said.stderr) },
      );
    });
    if (pid === undefined) return;
    running.add(child);
    onStart?.(pid);
    stdout.on('data', hear(said.stdout));
    stderr.on('data', hear(said.stderr));
    // One that ends before it has read everything says why by itself.
    stdin.on('error', () => undefined);
    stdin.end(input);
  });
}

function endGroup(child: ChildProcess): void {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
  } catch {
    // It is gone.
  }
}

function textOf(chunks: readonly Buffer[]): string {
  return Buffer.concat(chunks).toString();
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error);
}
