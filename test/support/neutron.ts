/**
 * A stand-in for a Neutron with its keystone, for what a real one cannot be made to do. Strict: what it does not know it refuses, and
 * remembers that it did. The real ones: `npm run conformance -- --suite source`.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';
import { credentialsOf, type Credentials } from '../../src/openstack/login.js';

export type Thing = Readonly<Record<string, unknown>> & { readonly id: string };

const COLLECTIONS = ['ports', 'networks', 'subnets', 'security-groups', 'address-groups'] as const;
type Collection = (typeof COLLECTIONS)[number];
const FILTERS = ['id', 'network_id', 'security_groups', 'binding:host_id'];

/** Answers in place of the stand-in. */
type Fault = (response: ServerResponse, path: string) => void;

export class StandIn {
  readonly things: Record<Collection, Thing[]> = {
    ...{ ports: [], networks: [], subnets: [] },
    ...{ 'security-groups': [], 'address-groups': [] },
  };
  /** What it had to refuse. */
  readonly refused: string[] = [];
  /** Paths that were asked for, and when. */
  readonly asked: { readonly path: string; readonly at: number }[] = [];
  logins = 0;
  pageSize = 1000;
  /** Tokens that are known no more. */
  readonly ended = new Set<string>();
  /** For the next answers, one each. */
  readonly faults: Fault[] = [];
  /** Is told of each question before it is answered. */
  onAsked: (path: string) => void = () => undefined;
  #url = '';

  static async open(): Promise<StandIn> {
    const standIn = new StandIn();
    const server = createServer((request, response) => {
      standIn.#answer(request, response);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    // It listens on a TCP port.
    standIn.#url = `http://127.0.0.1:${(server.address() as AddressInfo).port.toString()}`;
    onTestFinished(() => {
      server.closeAllConnections();
      server.close();
    });
    return standIn;
  }

  get cloud(): Credentials {
    return credentialsOf(
      { auth_type: 'password', auth: { auth_url: this.#url, username: 'u', password: 'p' } },
      'test',
    );
  }

  /** The token that is in use. */
  get token(): string {
    return `token-${this.logins.toString()}`;
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? '', this.#url);
    if (request.method === 'POST' && url.pathname === '/v3/auth/tokens') {
      this.logins++;
      request.resume();
      const endpoint = { interface: 'public', region_id: 'R', url: this.#url };
      response.setHeader('X-Subject-Token', this.token);
      answer(response, 201, { token: { catalog: [{ type: 'network', endpoints: [endpoint] }] } });
      return;
    }
    this.asked.push({ path: request.url ?? '', at: performance.now() });
    this.onAsked(request.url ?? '');
    const fault = this.faults.shift();
    if (fault !== undefined) return fault(response, url.pathname);
    const token = request.headers['x-auth-token'];
    if (token !== this.token || this.ended.has(token)) return answer(response, 401, { error: 'who are you?' });
    const collection = COLLECTIONS.find((name) => url.pathname === `/v2.0/${name}`);
    if (request.method !== 'GET' || collection === undefined) return this.#refuse(request, response);
    this.#list(collection, url, request, response);
  }

  #list(collection: Collection, url: URL, request: IncomingMessage, response: ServerResponse): void {
    const query = url.searchParams;
    const known = [...FILTERS, 'fields', 'limit', 'marker'];
    if ([...query.keys()].some((name) => !known.includes(name))) return this.#refuse(request, response);
    const fields = query.getAll('fields');
    const found = this.things[collection]
      .filter((thing) => FILTERS.every((name) => !query.has(name) || has(thing, name, query.getAll(name))))
      .sort((one, other) => (one.id < other.id ? -1 : 1));
    const first = query.has('marker') ? 1 + found.findIndex(({ id }) => id === query.get('marker')) : 0;
    const page = found.slice(first, first + Math.min(this.pageSize, Number(query.get('limit'))));
    const key = collection.replace('-', '_');
    const last = page.at(-1);
    query.set('marker', last?.id ?? '');
    // Behind a proxy it does not know by which name it was asked.
    const links = [{ rel: 'next', href: `http://elsewhere.invalid${url.pathname}?${query.toString()}` }];
    answer(response, 200, {
      [key]: page.map((thing) => Object.fromEntries(fields.map((name) => [name, thing[name]]))),
      ...(last !== undefined && last !== found.at(-1) ? { [`${key}_links`]: links } : {}),
    });
  }

  #refuse(request: IncomingMessage, response: ServerResponse): void {
    this.refused.push(`${request.method ?? ''} ${request.url ?? ''}`);
    answer(response, 400, { NeutronError: { message: 'unknown' } });
  }
}

function has(thing: Thing, name: string, values: readonly string[]): boolean {
  const value = thing[name];
  const all: readonly unknown[] = Array.isArray(value) ? value : [value];
  return all.some((one) => values.includes(String(one)));
}

export function answer(response: ServerResponse, status: number, content: object): void {
  response.statusCode = status;
  response.end(JSON.stringify(content));
}
