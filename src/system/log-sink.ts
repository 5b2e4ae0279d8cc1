/**
 * Where the log goes, for a process that must not wait for whoever reads it: a pipe that is full, a terminal that was stopped. What
 * does not fit into a bounded buffer is counted, and the count is told when somebody reads again.
 */
import { fstatSync, writeSync, type Stats } from 'node:fs';
import { Socket } from 'node:net';
import type { LogId } from '../../agent/log.js';
import { openedAnew } from './terminal.js';

/** Kept while nobody reads. */
const MOST_KEPT_BYTES = 1024 * 1024;
/** Between two looks whether somebody reads again, only while nobody does. */
const LOOK_EVERY_MS = 200;

export class LogSink {
  /** Undefined where each write may wait: nothing is written. */
  readonly #descriptor: number | undefined;
  #kept: Buffer[] = [];
  #keptBytes = 0;
  #timer: NodeJS.Timeout | undefined;
  /** Lines that were dropped and not told of yet. */
  #untold = 0;
  #dropped = 0;

  /**
   * @param descriptor an open file, pipe, terminal or socket.
   * @param prefixOf what stands before a line.
   */
  constructor(
    descriptor: number,
    private readonly prefixOf: (line: string) => string = () => '',
  ) {
    this.#descriptor = withoutWaiting(descriptor);
  }

  /** Lines that nobody will read, since the start. */
  get dropped(): number {
    return this.#dropped;
  }

  write(text: string): void {
    const line = `${this.prefixOf(text)}${text}`;
    if (this.#descriptor === undefined) {
      this.#dropped++;
    } else if (this.#keptBytes === 0 && this.#untold === 0) {
      const rest = this.#put(Buffer.from(line));
      if (rest !== undefined) this.#keep(rest);
    } else if (this.#keptBytes + line.length > MOST_KEPT_BYTES) {
      this.#dropped++;
      this.#untold++;
    } else this.#keep(Buffer.from(line));
  }

  #keep(bytes: Buffer): void {
    this.#kept.push(bytes);
    this.#keptBytes += bytes.length;
    if (this.#timer !== undefined) return;
    this.#timer = setInterval(() => {
      this.#drain();
    }, LOOK_EVERY_MS);
    this.#timer.unref();
  }

  #drain(): void {
    for (let next = this.#kept.shift(); next !== undefined; next = this.#kept.shift()) {
      this.#keptBytes -= next.length;
      const rest = this.#put(next);
      if (rest === undefined) continue;
      this.#kept.unshift(rest);
      this.#keptBytes += rest.length;
      return;
    }
    clearInterval(this.#timer);
    this.#timer = undefined;
    if (this.#untold === 0) return;
    const lines = this.#untold;
    this.#untold = 0;
    this.write(
      `${JSON.stringify({ level: 40, id: 'lines-dropped' satisfies LogId, lines, msg: 'lines of this log were dropped: nobody read them' })}\n`,
    );
  }

  /** @returns what was not taken; undefined when all was, or never will be. */
  #put(bytes: Buffer): Buffer | undefined {
    if (this.#descriptor === undefined) return undefined;
    let written = 0;
    try {
      while (written < bytes.length) written += writeSync(this.#descriptor, bytes, written);
      return undefined;
    } catch (error) {
      const isFull = error instanceof Error && 'code' in error && error.code === 'EAGAIN';
      if (isFull) return bytes.subarray(written);
      // The reader is gone, the disk is full: the work goes on.
      this.#dropped++;
      return undefined;
    }
  }
}

/** The same file, such that writing never waits; undefined where there is none. */
function withoutWaiting(descriptor: number): number | undefined {
  const stats = fstatSync(descriptor);
  return stats.isFile() ? descriptor : (openedAnew(descriptor) ?? changed(descriptor, stats));
}

/** Sockets of the journal and of whoever else made our standard error: kept, so that they are not closed. */
const held: Socket[] = [];

/** Node cannot set O_NONBLOCK, but does so for each stream that it makes of a descriptor. */
function changed(descriptor: number, stats: Stats): number | undefined {
  try {
    held.push(new Socket({ fd: descriptor, readable: false }).unref());
    return descriptor;
  } catch {
    // Of datagrams, perhaps: their reader may be stopped like any other. A device takes what it is given.
    return stats.isSocket() ? undefined : descriptor;
  }
}
