/** What libfaketime leaves of a process that was killed: the library removes it when the process ends by itself. */
import { rmSync } from 'node:fs';

/** To be called when the process is gone. @param pid of the first process with that clock */
export function forgetFaketime(pid: number): void {
  for (const name of [`faketime_shm_${pid.toString()}`, `sem.faketime_sem_${pid.toString()}`]) {
    rmSync(`/dev/shm/${name}`, { force: true });
  }
}
