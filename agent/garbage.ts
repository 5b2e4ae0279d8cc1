/**
 * Whoever reads everything leaves several times of what he keeps as garbage, and V8 holds that memory for as long as nobody needs room: on a
 * quiet host for good. So it is collected once, when what was read is in force, and what is kept is moved together: it lies between what
 * was not, a little on each page, and no page of those can be given back (of 100 000 members 145 MiB are resident instead of 278).
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** For what follows from it to be done, and for all that comes at the same time. */
const AFTER_MS = 2000;
/** An agent with hardly a policy holds 25 MiB: up to here nothing is worth a pause (50 ms; of 100 000 members 170). */
const WORTH_BYTES = 32 * 1024 * 1024;

export class Garbage {
  #timer: NodeJS.Timeout | undefined;

  /** Collects soon, once however often it is asked for meanwhile. */
  collectSoon(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      if (process.memoryUsage().heapTotal > WORTH_BYTES) collect();
    }, AFTER_MS).unref();
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}

/** Node says it to nobody who does not start it with this flag, which only a context that is made afterwards has. */
function collect(): void {
  setFlagsFromString('--expose-gc');
  setFlagsFromString('--compact-on-every-full-gc');
  runInNewContext('gc()');
  // Those that come by themselves may come at any time, and are to be short.
  setFlagsFromString('--no-compact-on-every-full-gc');
}
