/** What a test waits for when it goes on no more: the programs that it started and that still run, and what each of their threads is at. */
import { readdirSync, readFileSync } from 'node:fs';

/** Of a command line; in characters. */
const COMMAND = 160;

/** A line for each descendant of this process: what it runs, and where each of its threads waits in the kernel (proc(5), wchan). */
export function stillRunning(): string {
  const children = new Map<string, string[]>();
  for (const pid of numbersIn('/proc')) {
    const parent = /^\d+ \(.*\) \S (\d+)/s.exec(read(`/proc/${pid}/stat`))?.[1];
    if (parent !== undefined) children.set(parent, [...(children.get(parent) ?? []), pid]);
  }
  const below = (pid: string): readonly string[] =>
    (children.get(pid) ?? []).flatMap((child) => [lineOf(child), ...below(child)]);
  return below(process.pid.toString()).join('\n');
}

function lineOf(pid: string): string {
  const command = read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').slice(0, COMMAND);
  const threads = numbersIn(`/proc/${pid}/task`).map((thread) => {
    const at = `/proc/${pid}/task/${thread}`;
    const state = /^\d+ \(.*\) (\S)/s.exec(read(`${at}/stat`))?.[1] ?? '?';
    return `${read(`${at}/comm`).trim()} ${state} ${read(`${at}/wchan`)}`;
  });
  return `${pid} ${command}: ${threads.join(', ')}`;
}

/** What is gone when it is read says nothing. */
function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function numbersIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder).filter((name) => /^\d+$/.test(name));
  } catch {
    return [];
  }
}
