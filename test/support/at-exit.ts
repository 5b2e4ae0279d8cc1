/** What must be done when a process of tests ends, however it ends: one listener for all, since a process warns of many. */
const tasks = new Set<() => void>();

function doAll(): void {
  for (const task of tasks) task();
  tasks.clear();
}

process.once('exit', doAll);
// The signal is taken once: sent again, it ends the process as it would have.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => {
    doAll();
    process.kill(process.pid, signal);
  });
}
// Whoever runs the tests was killed.
process.once('disconnect', () => {
  doAll();
  process.kill(process.pid, 'SIGTERM');
});

/** @returns takes the task back: it was done, or need not be done any more */
export function atExit(task: () => void): () => void {
  tasks.add(task);
  return () => {
    tasks.delete(task);
  };
}
