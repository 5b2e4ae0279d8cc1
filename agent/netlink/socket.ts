/**
 * A netlink socket for requests and dumps. The kernel waits for the reader of a dump, so these sockets cannot overrun;
 * notifications can, and are read in a process of their own (agent/watch).
 */
// Its lowest layer alone: the rest (nl80211, WireGuard, ...) takes a third of a small program's start.
import { RawNetlinkSocket } from 'netlink/dist/raw.js';
import {
  messageBytes,
  messagesOf,
  NLM_F_ACK,
  NLM_F_DUMP,
  NLM_F_DUMP_INTR,
  NLM_F_REQUEST,
  NLMSG_DONE,
  NLMSG_ERROR,
} from './message.js';

/** A dump that changes keep interrupting is given up after this many tries. */
const MOST_DUMPS = 10;
/** Without a word for as long, what was asked counts as unanswered: nobody knows what became of it. */
const SILENCE_MS = 10_000;
/** The kernel fills up to 32 KiB of it with a dump, and no more than one object has where that is more. */
const BUFFER_BYTES = 64 * 1024;
const SOCKET_BUFFER_BYTES = 4 * 1024 * 1024;

/** The kernel's answer to a request: an errno. */
export class NetlinkError extends Error {
  override readonly name = 'NetlinkError';

  constructor(
    what: string,
    /** Positive errno (errno(3)). */
    readonly errno: number,
    /** Of the message that it answers. */
    readonly sequence = 0,
  ) {
    super(`netlink: ${what}: errno ${errno.toString()}`);
  }
}

/** It never got to the kernel, which did nothing. */
export class NotSent extends Error {
  override readonly name = 'NotSent';
}

/** True where the kernel did nothing of what it was asked for; of any other error that is not known. */
export function isUndone(error: unknown): boolean {
  return error instanceof NetlinkError || error instanceof NotSent;
}

interface Waiting {
  readonly onPayload: (payload: Buffer) => void;
  readonly resolve: (outcome: 'complete' | 'interrupted') => void;
  readonly reject: (error: Error) => void;
  isInterrupted: boolean;
}

export class NetlinkSocket {
  /** Undefined after one that fell silent, until it is needed, and in the end. */
  #socket: RawNetlinkSocket | undefined;
  /** By which port id the kernel knows it. */
  #bound: { readonly socket: RawNetlinkSocket; readonly portId: number } | undefined;
  #isClosed = false;
  /** Runs while something is waited for. */
  #silence: NodeJS.Timeout | undefined;
  /** Heard so far. */
  #datagrams = 0;
  readonly #waiting = new Map<number, Waiting>();
  #sequence = 0;

  /**
   * @param protocol NETLINK_ROUTE (0), NETLINK_NETFILTER (12), ... (linux/netlink.h)
   * @param patience milliseconds without a word after which a request has failed.
   * @param bufferBytes of which each datagram takes one: what does not fit is lost, so only a dump's may be small.
   */
  constructor(
    private readonly protocol: number,
    private readonly patience = SILENCE_MS,
    private readonly bufferBytes = BUFFER_BYTES,
  ) {
    this.#socket = this.#open();
  }

  #open(): RawNetlinkSocket {
    if (this.#isClosed) throw new Error('netlink: the socket was closed');
    const socket = new RawNetlinkSocket(this.protocol, {
      messagePeeking: false,
      msgBufferSize: this.bufferBytes,
      recvBufferSize: SOCKET_BUFFER_BYTES,
      sendBufferSize: SOCKET_BUFFER_BYTES,
    });
    // An exception in this handler would abort the process from native code.
    socket.on('message', (datagram) => {
      this.#datagrams++;
      this.#silence?.refresh();
      try {
        this.#receive(datagram);
      } catch (error) {
        this.#fail(asError(error));
      }
    });
    socket.on('error', (error) => {
      this.#fail(asError(error));
    });
    // One that nothing was asked of yet keeps no process.
    socket.unref();
    return socket;
  }

  /**
   * Sends one request and waits for the kernel's acknowledgement. Rejects with {@link NetlinkError}.
   * @param onPayload called with an answer that comes before the acknowledgement.
   */
  async request(type: number, payload: Buffer, onPayload: (payload: Buffer) => void = () => undefined): Promise<void> {
    await this.#send(type, NLM_F_REQUEST | NLM_F_ACK, payload, onPayload);
  }

  /**
   * Dumps objects; a dump that a change interrupted is repeated.
   * @param onStart called before each try: what was seen before counts no more.
   */
  async dump(type: number, payload: Buffer, onStart: () => void, onPayload: (payload: Buffer) => void): Promise<void> {
    for (let tries = 0; tries < MOST_DUMPS; tries++) {
      onStart();
      if ((await this.#send(type, NLM_F_REQUEST | NLM_F_DUMP, payload, onPayload)) === 'complete') return;
    }
    throw new Error(`netlink: dump ${type.toString()} was interrupted ${MOST_DUMPS.toString()} times`);
  }

  /** What the kernel knows this socket by, and names in its notices. */
  get portId(): number {
    const socket = (this.#socket ??= this.#open());
    // Asked with each notice of thousands: the kernel is, once.
    if (this.#bound?.socket !== socket) this.#bound = { socket, portId: socket.address().port };
    return this.#bound.portId;
  }

  /** The most that it takes at once, in bytes. */
  get sendBuffer(): number {
    this.#socket ??= this.#open();
    return this.#socket.getSendBufferSize();
  }

  /** How much the kernel can answer before anybody reads it, as it counts: in bytes. */
  get receiveBuffer(): number {
    this.#socket ??= this.#open();
    return this.#socket.getRecvBufferSize();
  }

  /**
   * Sends requests of one type, each of which the kernel does or refuses, as one, and waits until it is through with all of them. It
   * answers the last one, and those that it refuses: in order (netlink_rcv_skb() in net/netlink/af_netlink.c).
   * @returns a positive errno (errno(3)) for each that was refused, 0 for each that was done.
   */
  async requests(type: number, payloads: readonly Buffer[]): Promise<readonly number[]> {
    const errnos = payloads.map(() => 0);
    if (payloads.length === 0) return errnos;
    const first = this.#sequence + 1;
    const last = this.#sequence + payloads.length;
    const bytes = payloads.map((payload, index) => {
      const flags = first + index === last ? NLM_F_REQUEST | NLM_F_ACK : NLM_F_REQUEST;
      return messageBytes({ type, flags, sequence: first + index, payload });
    });
    await this.#exchange(payloads.length, Buffer.concat(bytes), (error, end) => {
      if (!(error instanceof NetlinkError)) return end(error);
      errnos[error.sequence - first] = error.errno;
      if (error.sequence === last) end();
    });
    return errnos;
  }

  /**
   * Sends several messages as one, of which one asks for an acknowledgement, and waits for it. Rejects with the first error that is
   * told of any of them.
   * @param count how many sequence numbers they take.
   * @param make gives their bytes, from the first sequence number on.
   */
  async batch(count: number, make: (first: number) => Buffer): Promise<void> {
    await this.#exchange(count, make(this.#sequence + 1), (error, end) => {
      end(error);
    });
  }

  /**
   * Sends messages as one, with the next `count` sequence numbers, and waits for an acknowledgement of any of them.
   * @param onError of each error that is told of any of them: ends the wait, or not.
   */
  async #exchange(
    count: number,
    bytes: Buffer,
    onError: (error: Error, end: (error?: Error) => void) => void,
  ): Promise<void> {
    const sequences = Array.from({ length: count }, (_, index) => this.#sequence + 1 + index);
    this.#sequence += count;
    const socket = this.#begin();
    await new Promise<void>((resolve, reject) => {
      const end = (error?: Error): void => {
        for (const sequence of sequences) this.#settle(sequence);
        if (error === undefined) resolve();
        else reject(error);
      };
      const waiting: Waiting = {
        onPayload: () => undefined,
        resolve: () => {
          end();
        },
        reject: (error) => {
          onError(error, end);
        },
        isInterrupted: false,
      };
      for (const sequence of sequences) this.#waiting.set(sequence, waiting);
      this.#write(socket, bytes, waiting.reject);
    });
  }

  close(): void {
    // Waiters first: each lets go of the socket.
    this.#isClosed = true;
    this.#fail(new Error('netlink: the socket was closed'));
    this.#socket?.close();
    this.#socket = undefined;
  }

  async #send(
    type: number,
    flags: number,
    payload: Buffer,
    onPayload: (payload: Buffer) => void,
  ): Promise<'complete' | 'interrupted'> {
    const sequence = ++this.#sequence;
    const socket = this.#begin();
    const answer = new Promise<'complete' | 'interrupted'>((resolve, reject) => {
      this.#waiting.set(sequence, { onPayload, resolve, reject, isInterrupted: false });
    });
    this.#write(socket, messageBytes({ type, flags, sequence, payload }), (error) =>
      this.#settle(sequence)?.reject(error),
    );
    return answer;
  }

  #write(socket: RawNetlinkSocket, bytes: Buffer, onError: (error: Error) => void): void {
    socket.send(bytes, { port: 0, groups: 0 }, (error) => {
      if (error !== undefined) onError(new NotSent(asError(error).message, { cause: error }));
    });
  }

  /** The socket, kept open and listened for until nothing is waited for any more. */
  #begin(): RawNetlinkSocket {
    const socket = (this.#socket ??= this.#open());
    socket.ref();
    if (this.#silence === undefined) this.#expect();
    else this.#silence.refresh();
    return socket;
  }

  #expect(): void {
    const timer = setTimeout(() => {
      const before = this.#datagrams;
      // An answer may lie there that this process was too busy to read: it is read before the next immediate.
      setImmediate(() => {
        if (this.#silence === timer && this.#datagrams === before) this.#giveUp();
      });
    }, this.patience);
    this.#silence = timer;
  }

  /** What it still says belongs to nobody, and a dump under way would have the next one refused: a new socket. */
  #giveUp(): void {
    this.#fail(new Error(`netlink: the kernel has not answered for ${(this.patience / 1000).toString()} s`));
    this.#socket?.close();
    this.#socket = undefined;
  }

  #receive(datagram: Buffer): void {
    for (const { type, flags, sequence, payload } of messagesOf(datagram)) {
      const waiting = this.#waiting.get(sequence);
      if (waiting === undefined) continue;
      if ((flags & NLM_F_DUMP_INTR) !== 0) waiting.isInterrupted = true;
      if (type === NLMSG_ERROR) {
        const errno = -payload.readInt32LE(0);
        this.#settle(sequence);
        if (errno === 0) waiting.resolve('complete');
        else waiting.reject(new NetlinkError('refused', errno, sequence));
      } else if (type === NLMSG_DONE) {
        this.#settle(sequence);
        waiting.resolve(waiting.isInterrupted ? 'interrupted' : 'complete');
      } else waiting.onPayload(payload);
    }
  }

  #settle(sequence: number): Waiting | undefined {
    const waiting = this.#waiting.get(sequence);
    this.#waiting.delete(sequence);
    if (this.#waiting.size === 0) {
      this.#socket?.unref();
      clearTimeout(this.#silence);
      this.#silence = undefined;
    }
    return waiting;
  }

  #fail(error: Error): void {
    for (const sequence of [...this.#waiting.keys()]) this.#settle(sequence)?.reject(error);
  }
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
