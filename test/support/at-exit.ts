/** What must be done when a process of tests ends, however it ends: one listener for all, since a process warns of many. */
const tasks = new Set<() => void>();

process.once('exit', () => {
  for (const task of tasks) task();
});

/** @returns takes the task back: it was done, or need not be done any more */
export function atExit(task: () => void): () => void {
  tasks.add(task);
  return () => {
    tasks.delete(task);
  };
}
