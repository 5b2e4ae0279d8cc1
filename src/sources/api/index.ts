/**
 * The API source: follows the control API's feed (`GET /portcullis/v1/topology?watch`) over HTTP, and comes back to where it was
 * when the connection is lost.
 */
import { EMPTY_TOPOLOGY, type Topology } from '../../../compiler/model/index.js';
import { parseFeedLine, TopologyFeed } from '../feed/feed.js';
import { Follow, Postponed } from '../follow.js';
import { TextLines } from './text-lines.js';
import type { HostReport } from '../../../compiler/model/index.js';
import { stale, type Source, type SourceEvent } from '../../../compiler/model/index.js';

/** For a report to be taken. */
const REPORT_MS = 5000;

export class ApiSource implements Source {
  readonly name: string;
  readonly #feed: TopologyFeed;
  #listener: ((event: SourceEvent) => void) | undefined;
  #inForce: () => Topology = () => EMPTY_TOPOLOGY;
  /** Of the last line; undefined before the first, and when everything is to be told anew. */
  #revision: number | undefined;
  /** Which process of the API told it. */
  #session = '';
  readonly #follow = new Follow(
    async (signal) => this.#read(signal),
    (reason) => {
      this.#listener?.(stale(this.name, reason));
    },
  );

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
    this.#follow.start();
  }

  reload(): void {
    this.#revision = undefined;
    this.#follow.again();
  }

  accept(): void {
    this.#feed.accept();
  }

  async report(host: string, report: HostReport): Promise<void> {
    const response = await fetch(`${this.url}/portcullis/v1/hosts/${encodeURIComponent(host)}`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json', ...this.#identity() },
      body: JSON.stringify(report),
      signal: AbortSignal.any([this.#follow.stopped, AbortSignal.timeout(REPORT_MS)]),
    });
    // What it says is nobody's concern; the connection is free when it is read.
    await response.arrayBuffer();
    if (!response.ok) throw new Error(`the API answers ${response.status.toString()}`);
  }

  stop(): void {
    this.#listener = undefined;
    this.#follow.stop();
  }

  #identity(): Readonly<Record<string, string>> {
    return this.token === undefined ? {} : { 'X-Auth-Token': this.token };
  }

  /** From where it was, for as long as the connection lasts. */
  async #read(signal: AbortSignal): Promise<void> {
    const from =
      this.#revision === undefined
        ? ''
        : `&from=${this.#revision.toString()}&session=${encodeURIComponent(this.#session)}`;
    const response = await fetch(`${this.url}/portcullis/v1/topology?watch=1${from}`, {
      headers: this.#identity(),
      signal,
    });
    this.#follow.heard();
    if (!response.ok || response.body === null) {
      await response.body?.cancel();
      throw Postponed.by(`the API answers ${response.status.toString()}`, response.headers.get('retry-after'));
    }
    this.#session = response.headers.get('X-Portcullis-Session') ?? '';
    const text = new TextLines();
    const decoder = new TextDecoder();
    for await (const chunk of response.body) {
      this.#follow.heard();
      for (const line of text.take(decoder.decode(chunk as Uint8Array, { stream: true }))) this.#take(line);
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
    this.#follow.well();
  }
}
