/**
 * Work that anybody may ask for and that costs much: so much of it is under way at once, so much waits, and of one client a part of
 * that. Clients take turns, so that whoever asks much waits for himself alone.
 */
import { parseAddress } from '../../compiler/model/index.js';
import { ApiError } from './errors.js';

export interface Bounds {
  readonly underWay: number;
  readonly underWayOfOne: number;
  readonly waiting: number;
  readonly waitingOfOne: number;
}

interface Client {
  underWay: number;
  readonly waiting: (() => void)[];
}

export class Turns {
  /** Those who have something under way or waiting, in the order of their turns. */
  readonly #clients = new Map<string, Client>();
  #underWay = 0;
  #waiting = 0;

  constructor(private readonly bounds: Bounds) {}

  /**
   * Does the work when it is its turn.
   * @throws ApiError (429) where too much of this client waits, (503) where too much waits of all
   */
  async take<T>(client: string, work: () => Promise<T>): Promise<T> {
    await this.#turn(client);
    try {
      return await work();
    } finally {
      this.#end(client);
    }
  }

  async #turn(name: string): Promise<void> {
    const client = this.#clients.get(name) ?? { underWay: 0, waiting: [] };
    const isFree = this.#underWay < this.bounds.underWay && client.underWay < this.bounds.underWayOfOne;
    if (!isFree && client.waiting.length >= this.bounds.waitingOfOne) {
      throw new ApiError('TooManyRequests', 'Too many requests at once: try again in a second.');
    }
    if (!isFree && this.#waiting >= this.bounds.waiting) {
      throw new ApiError('Overloaded', 'Too many requests of all clients: try again in a second.');
    }
    this.#clients.set(name, client);
    if (isFree) {
      this.#begin(client);
      return;
    }
    this.#waiting++;
    await new Promise<void>((resolve) => client.waiting.push(resolve));
  }

  #begin(client: Client): void {
    client.underWay++;
    this.#underWay++;
  }

  #end(name: string): void {
    this.#underWay--;
    const client = this.#clients.get(name);
    if (client !== undefined) {
      client.underWay--;
      this.#toTheEnd(name, client);
    }
    for (const [next, one] of this.#clients) {
      if (this.#underWay >= this.bounds.underWay) return;
      if (one.underWay >= this.bounds.underWayOfOne) continue;
      const start = one.waiting.shift();
      if (start === undefined) continue;
      this.#waiting--;
      this.#begin(one);
      this.#toTheEnd(next, one);
      start();
    }
  }

  /** Its next turn is after everybody else's. Who has nothing here is forgotten. */
  #toTheEnd(name: string, client: Client): void {
    this.#clients.delete(name);
    if (client.underWay > 0 || client.waiting.length > 0) this.#clients.set(name, client);
  }
}

/** Of IPv6 a client has not one address but a network of 2^64. */
const CLIENT_BITS = 64n;
/** `::ffff:0:0/96`: IPv4 on a socket of IPv6. */
const MAPPED = 0xffffn;

/** Whom an address belongs to. @param ip undefined for one that came over a unix socket */
export function clientOf(ip: string | undefined): string {
  const parsed = parseAddress(ip ?? '');
  if (parsed?.family !== 'IPv6' || parsed.network >> 32n === MAPPED) return ip ?? '';
  return (parsed.network >> CLIENT_BITS).toString(16);
}
