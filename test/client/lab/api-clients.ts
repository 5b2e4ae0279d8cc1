/** A client that knows several processes of the API: it goes to the next one when one does not serve, and never takes that for a no. */
import { request } from 'node:http';
import { setTimeout } from 'node:timers/promises';
import { step } from '../../support/progress.js';

export interface Answer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

/** After an answer that was none; in milliseconds. */
const PAUSE = 50;

export class ApiClients {
  #next = 0;
  acknowledged = 0;
  /** Answers of 503, and connections that broke: what was asked may have been done or not. */
  undecided = 0;
  isEnded = false;

  /** @param sockets of the processes. */
  constructor(private readonly sockets: readonly string[]) {}

  /**
   * Asks until somebody answers.
   * @param before what is done before the question is put again; when it comes to something, that is the answer.
   */
  async ask(method: string, path: string, body?: object, before?: () => Promise<Answer | undefined>): Promise<Answer> {
    for (;;) {
      if (this.isEnded) throw new Error('the clients were ended');
      const socket = this.sockets[this.#next++ % this.sockets.length] ?? '';
      const answer = await askOne(socket, method, path, body);
      step(`${method} ${path}: ${String(answer?.status)}`);
      if (answer !== undefined && answer.status !== 503) return answer;
      if (method !== 'GET') this.undecided++;
      await setTimeout(PAUSE);
      const found = await before?.();
      if (found !== undefined) return found;
    }
  }

  /** A list of Neutron's. */
  async list(collection: string, query: string): Promise<readonly Readonly<Record<string, unknown>>[]> {
    const { status, body } = await this.ask('GET', `${collection}?${query}`);
    if (status !== 200) throw new Error(`GET ${collection}: ${status.toString()} ${JSON.stringify(body)}`);
    return body[collection.replaceAll('-', '_')] as readonly Readonly<Record<string, unknown>>[];
  }

  /** A change that has to be made. @param accepted its status; more where it was asked before. */
  async change(
    method: string,
    path: string,
    accepted: { readonly first: number; readonly again?: number },
    body?: object,
    before?: () => Promise<Answer | undefined>,
  ): Promise<Answer> {
    const undecided = this.undecided;
    const answer = await this.ask(method, path, body, before);
    const isRight =
      answer.status === accepted.first || (this.undecided > undecided && answer.status === accepted.again);
    if (!isRight) throw new Error(`${method} ${path}: ${answer.status.toString()} ${JSON.stringify(answer.body)}`);
    this.acknowledged++;
    return answer;
  }
}

/** @returns undefined when nobody answers. */
export async function askOne(
  socketPath: string,
  method: string,
  path: string,
  body?: object,
): Promise<Answer | undefined> {
  return new Promise((resolve) => {
    const text = body === undefined ? undefined : JSON.stringify(body);
    const headers = text === undefined ? {} : { 'content-type': 'application/json' };
    const asked = request(
      { socketPath, method, path: path.startsWith('/') ? path : `/v2.0/${path}`, headers },
      (response) => {
        let received = '';
        response.setEncoding('utf8').on('data', (chunk: string) => (received += chunk));
        response.on('error', () => {
          resolve(undefined);
        });
        response.on('end', () => {
          const parsed = received === '' ? {} : (JSON.parse(received) as Answer['body']);
          resolve({ status: response.statusCode ?? 0, body: parsed });
        });
      },
    );
    asked.on('error', () => {
      resolve(undefined);
    });
    asked.end(text);
  });
}
