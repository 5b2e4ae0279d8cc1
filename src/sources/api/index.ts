/**
 * The API source: follows the control API's feed (`GET /portcullis/v1/topology?watch`) over HTTP, and comes back to where it was
 * when the connection is lost.
 */
import { setTimeout as wait } from 'node:timers/promises';
import { EMPTY_TOPOLOGY, type Topology } from '../../model/index.js';
import { parseFeedLine, TopologyFeed } from '../feed/feed.js';
import type { HostReport } from '../host-report.js';
import { BACKOFF, unreadable, type Source, type SourceEvent } from '../source.js';

/** The server sends something every 10 s; in milliseconds. */
const SILENCE = 30_000;
/** For a report to be taken; in milliseconds. */
const REPORT = 5000;

export class ApiSource implements Source {
  readonly name: string;
  readonly #feed: TopologyFeed;
  readonly #stopping = new AbortController();
  #listener: ((event: SourceEvent) => void) | undefined;
  #inForce: () => Topology = () => EMPTY_TOPOLOGY;
  /** Of the last line; undefined before the first, and when everything is to be told anew. */
  #revision: number | undefined;
  /** Which process of the API told it. */
  #session = '';
  #connection = new AbortController();
  #lastReason: string | undefined;
  #backoff = BACKOFF.first;

  /**
   * @param url of the API, `http://127.0.0.1:9696`.
   * @param token of an administrator; undefined where the API asks for none.
   */
  constructor(
    private readonly url: string,
    private readonly token: string | undefined,
  ) {
    this.name = `api:${url}`;
    this.#feed = new TopologyFeed(this.name);
  }

  start(listener: (event: SourceEvent) => void, inForce: () => Topology): void {
    this.#listener = listener;
    this.#inForce = inForce;
    void this.#follow();
  }

  reload(): void {
    this.#revision = undefined;
    this.#connection.abort(new Error('asked to read again'));
  }

  accept(): void {
    this.#feed.accept();
  }

  async report(host: string, report: HostReport): Promise<void> {
    const response = await fetch(`${this.url}/portcullis/v1/hosts/${encodeURIComponent(host)}`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json', ...this.#identity() },
      body: JSON.stringify(report),
      signal: AbortSignal.any([this.#stopping.signal, AbortSignal.timeout(REPORT)]),
    });
    // What it says is nobody's concern; the connection is free when it is read.
    await response.arrayBuffer();
    if (!response.ok) throw new Error(`the API answers ${response.status.toString()}`);
  }

  stop(): void {
    this.#listener = undefined;
    this.#stopping.abort();
    this.#connection.abort();
  }

  #identity(): Readonly<Record<string, string>> {
    return this.token === undefined ? {} : { 'X-Auth-Token': this.token };
  }

  async #follow(): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      try {
        await this.#read();
        this.#failed('the connection was closed');
      } catch (error) {
        if (this.#revision !== undefined || !this.#connection.signal.aborted) this.#failed(reasonOf(error));
      }
      await wait(this.#backoff, undefined, { signal: this.#stopping.signal }).catch(() => undefined);
      this.#backoff = Math.min(2 * this.#backoff, BACKOFF.most);
    }
  }

  async #read(): Promise<void> {
    this.#connection = new AbortController();
    const connection = this.#connection;
    let silence = setTimeout(() => undefined, 0);
    const heard = (): void => {
      clearTimeout(silence);
      silence = setTimeout(() => {
        connection.abort(new Error(`nothing was heard for ${(SILENCE / 1000).toString()} s`));
      }, SILENCE);
    };
    heard();
    try {
      const from =
        this.#revision === undefined
          ? ''
          : `&from=${this.#revision.toString()}&session=${encodeURIComponent(this.#session)}`;
      const response = await fetch(`${this.url}/portcullis/v1/topology?watch=1${from}`, {
        headers: this.#identity(),
        signal: connection.signal,
      });
      if (!response.ok || response.body === null) throw new Error(`the API answers ${response.status.toString()}`);
      this.#session = response.headers.get('X-Portcullis-Session') ?? '';
      let rest = '';
      const decoder = new TextDecoder();
      for await (const chunk of response.body) {
        heard();
        const lines = `${rest}${decoder.decode(chunk as Uint8Array, { stream: true })}`.split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) this.#take(line);
      }
    } finally {
      clearTimeout(silence);
      connection.abort();
    }
  }

  #take(text: string): void {
    // A sign of life; it also says that we have everything.
    if (text === '') return;
    try {
      const line = parseFeedLine(text);
      this.#listener?.(this.#feed.take(line, this.#inForce()));
      this.#revision = line.revision;
    } catch (error) {
      // Whatever it was is lost to us, or to who listens: everything must be told anew.
      this.#revision = undefined;
      throw error;
    }
    this.#backoff = BACKOFF.first;
    this.#lastReason = undefined;
  }

  /** Told once for each distinct reason. */
  #failed(reason: string): void {
    if (reason === this.#lastReason || this.#stopping.signal.aborted) return;
    this.#lastReason = reason;
    this.#listener?.({ kind: 'stale', problems: [unreadable(this.name, reason)] });
  }
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause } = error;
  return cause instanceof Error && cause.message !== '' ? cause.message : error.message;
}
