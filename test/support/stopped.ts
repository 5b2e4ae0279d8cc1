/** Stops a process, and knows that it is stopped. */
import { readdirSync, readFileSync } from 'node:fs';
import { patience } from './patience.js';

/** Milliseconds in which a quiet machine has stopped any process many times. */
const AMPLE = 10_000;

/**
 * Stops a process with all of its threads. A signal alone does not do that yet: one thread has to take it, and until a busy machine
 * lets that one run, the others go on and answer.
 * @throws when it is not stopped by then, or gone.
 */
export function stopProcess(pid: number): void {
  process.kill(pid, 'SIGSTOP');
  const deadline = performance.now() + patience(AMPLE);
  for (;;) {
    const states = statesOf(pid);
    if (states.every((state) => state === 'T')) return;
    if (performance.now() > deadline)
      throw new Error(`process ${pid} was not stopped: its threads are ${states.join('')}`);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
  }
}

/** A letter for each thread (proc_pid_stat(5), state); T for one that is stopped. A thread that is gone by now has none. */
function statesOf(pid: number): readonly string[] {
  const folder = `/proc/${pid}/task`;
  return readdirSync(folder).flatMap((thread) => {
    try {
      return /^\d+ \(.*\) (\S)/s.exec(readFileSync(`${folder}/${thread}/stat`, 'utf8'))?.[1] ?? [];
    } catch {
      return [];
    }
  });
}
