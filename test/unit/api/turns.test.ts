/** What costs much and anybody may ask for: how much of it is under way, for whom, and what is said to the rest. */
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { Keystone } from '../../../src/api/auth/keystone.js';
import { hashPassword, isPassword } from '../../../src/api/auth/password.js';
import { Tokens } from '../../../src/api/auth/tokens.js';
import { clientOf, Turns } from '../../../src/api/turns.js';
import { TestApi } from '../../support/api.js';
import { eventually } from '../../support/waiting.js';

const ALICE = { id: 'u', name: 'alice', password: 'secret', roles: new Map([['p', ['member', 'reader']]]) };
const DIRECTORY = { projects: [{ id: 'p', name: 'demo' }], users: [ALICE], tokens: [] };

/** Work that ends when it is told to. */
class Held {
  /** Of whom, in the order of their beginnings. */
  readonly begun: string[] = [];
  readonly #ends: (() => void)[] = [];
  underWay = 0;
  mostUnderWay = 0;

  async work(name: string): Promise<void> {
    this.begun.push(name);
    this.mostUnderWay = Math.max(this.mostUnderWay, ++this.underWay);
    await new Promise<void>((resolve) => this.#ends.push(resolve));
    this.underWay--;
  }

  async endOne(): Promise<void> {
    this.#ends.shift()?.();
    await settled();
  }

  async endAll(): Promise<void> {
    while (this.#ends.length > 0) await this.endOne();
  }
}

async function settled(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
}

describe('turns', () => {
  const BOUNDS = { underWay: 3, underWayOfOne: 2, waiting: 5, waitingOfOne: 3 };

  it('are so many at once, of all and of one; another client waits for nobody who asked much', async () => {
    const [turns, held] = [new Turns(BOUNDS), new Held()];
    const take = (name: string): Promise<void> => turns.take(name, async () => held.work(name));
    const all = ['a', 'a', 'a', 'a', 'a', 'b', 'b', 'c'].map(take);
    await settled();
    expect(held.begun).toEqual(['a', 'a', 'b']);
    await held.endOne();
    expect(held.begun.slice(3)).toEqual(['b']);
    await held.endOne();
    expect(held.begun.slice(4)).toEqual(['c']);
    await held.endOne();
    expect(held.begun.slice(5)).toEqual(['a']);
    await held.endAll();
    await Promise.all(all);
    expect([held.begun.length, held.mostUnderWay]).toEqual([8, 3]);
  });

  it('are refused where too much waits, of one (429) and of all (503); what fails gives its turn back', async () => {
    const [turns, held] = [new Turns(BOUNDS), new Held()];
    const take = (name: string): Promise<void> => turns.take(name, async () => held.work(name));
    const kept = ['a', 'a', 'a', 'a', 'a', 'b', 'b', 'c'].map(take);
    await expect(take('a')).rejects.toMatchObject({ status: 429 });
    await expect(take('d')).rejects.toMatchObject({ status: 503 });
    await held.endAll();
    await Promise.all(kept);
    for (let time = 0; time < 10; time++) {
      await expect(turns.take('a', async () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    }
  });

  it.each([
    ['192.0.2.1', '192.0.2.2', false],
    ['2001:db8::1', '2001:db8::ffff:1', true],
    ['2001:db8::1', '2001:db8:0:1::1', false],
    ['::ffff:192.0.2.1', '::ffff:192.0.2.2', false],
  ])('%s and %s: one client: %s', (one, other, isOne) => {
    expect(clientOf(one) === clientOf(other)).toBe(isOne);
  });
});

describe('logins', () => {
  const login = (name: string, from: string): object => ({
    method: 'POST',
    url: '/identity/v3/auth/tokens',
    remoteAddress: from,
    payload: { auth: { identity: { methods: ['password'], password: { user: { name, password: 'x' } } } } },
  });

  it('of one address keep one core busy, and nobody else from logging in', async () => {
    const held = new Held();
    const tokens = new Tokens(DIRECTORY, async (_given, known) => {
      await held.work(known ?? 'nobody');
      return true;
    });
    const api = await TestApi.open(tokens, tokens);
    let arrived = 0;
    api.app.addHook('preHandler', (_request, _reply, done) => {
      arrived++;
      done();
    });
    const flood = Array.from({ length: 200 }, async () => api.app.inject(login('mallory', '192.0.2.66')));
    await eventually(() => arrived === 200);
    const alice = api.app.inject(login('alice', '192.0.2.1'));
    await eventually(() => arrived === 201);
    await settled();
    // Where there are two cores and more it begins at once, else it is the next.
    await held.endOne();
    await settled();
    expect(held.begun.slice(0, 2)).toContain('secret');
    while (held.underWay > 0) await held.endOne();
    const answers = await Promise.all(flood);
    const refused = answers.filter(({ statusCode }) => statusCode === 429);
    expect([(await alice).statusCode, refused.length, held.begun.length]).toEqual([201, 183, 18]);
    expect(new Set(refused.map(({ headers }) => headers['retry-after']))).toEqual(new Set(['1']));
    expect(held.mostUnderWay).toBeLessThanOrEqual(2);
  });

  it('cost the same for a user who is not there, one with a hash and one without', async () => {
    for (const known of [undefined, 'secret', await hashPassword('secret')]) {
      const costs: object[] = [];
      await isPassword('guess', known, async (_password, _salt, length, cost) => {
        costs.push(cost);
        return Promise.resolve(Buffer.alloc(length));
      });
      expect(costs).toEqual([{ N: 2 ** 15, r: 8, p: 3 }]);
    }
    expect(await isPassword('secret', 'secret')).toBe(true);
    expect(await isPassword('\0', undefined)).toBe(false);
  });
});

describe('questions to a keystone that is slow', () => {
  async function slow(): Promise<{ readonly api: TestApi; readonly held: ServerResponse[] }> {
    const held: ServerResponse[] = [];
    const server = createServer((_request, response) => held.push(response));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => {
      server.closeAllConnections();
      server.close();
    });
    const { port } = server.address() as AddressInfo;
    return { api: await TestApi.open(new Keystone(`http://127.0.0.1:${port.toString()}/identity`)), held };
  }
  const ask = (api: TestApi, token: string, from: string): Promise<{ readonly statusCode: number }> =>
    api.app.inject({ url: '/v2.0/networks', remoteAddress: from, headers: { 'x-auth-token': token } });
  const refuse = (held: ServerResponse[]): void => {
    for (const response of held.splice(0)) response.writeHead(404).end();
  };

  it('are so many for one address, whatever tokens it makes up; another one is heard', async () => {
    const { api, held } = await slow();
    const flood = Array.from({ length: 300 }, async (_, number) => ask(api, `made-up-${String(number)}`, '192.0.2.66'));
    await eventually(() => held.length >= 16);
    const other = ask(api, 'another', '192.0.2.1');
    await eventually(() => held.length >= 17);
    await settled();
    expect(held.length).toBe(17);
    let asked = 0;
    const done = Promise.all(flood).then(() => true);
    while (!(await Promise.race([done, settled().then(() => false)]))) {
      asked += held.length;
      refuse(held);
    }
    expect([(await other).statusCode, asked]).toEqual([401, 145]);
    const statuses = (await done) && (await Promise.all(flood)).map(({ statusCode }) => statusCode);
    expect(statuses && statuses.filter((status) => status === 429).length).toBe(156);
  });

  it('are one for the same token at once', async () => {
    const { api, held } = await slow();
    const all = Array.from({ length: 20 }, async () => ask(api, 'the-same', '192.0.2.1'));
    await eventually(() => held.length > 0);
    await settled();
    expect(held.length).toBe(1);
    refuse(held);
    expect((await Promise.all(all)).map(({ statusCode }) => statusCode)).toEqual(Array(20).fill(401));
  });
});
