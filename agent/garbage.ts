/**
 * Whoever reads everything leaves several times of what he keeps as garbage, and V8 holds that memory for as long as nobody needs room: on a
 * quiet host for good. So it is collected once, when what was read is in force.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** For what follows from it to be done, and for all that comes at the same time; in milliseconds. */
const AFTER = 2000;
/** V8 holds about half of it whatever the policy is: below it nothing is worth a pause. In bytes. */
const WORTH = 64 * 1024 * 1024;

export class Garbage {
  #timer: NodeJS.Timeout | undefined;

  /** Collects soon, once however often it is asked for meanwhile. */
  collectSoon(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      if (process.memoryUsage().heapTotal > WORTH) collect();
    }, AFTER).unref();
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}

/** Node says it to nobody who does not start it with this flag, which only a context that is made afterwards has. */
function collect(): void {
  setFlagsFromString('--expose-gc');
  runInNewContext('gc()');
}
