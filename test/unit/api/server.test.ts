/** What the server does before any route: TLS, rates, who may read the feed. */
import { Agent as PlainAgent, get as getPlain, request } from 'node:http';
import { Agent, get } from 'node:https';
import type { AddressInfo } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Authenticator } from '../../../src/api/auth/authenticator.js';
import { noAuthentication } from '../../../src/api/auth/none.js';
import { Tokens } from '../../../src/api/auth/tokens.js';
import { MEMBER, OTHER, READER, TestApi, type As } from '../../support/api.js';
import { CERTIFICATE, KEY } from '../../support/certificate.js';
import { step } from '../../support/progress.js';

it('speaks TLS with the certificate that it is given, and only that', async () => {
  const tls = { cert: Buffer.from(CERTIFICATE), key: Buffer.from(KEY) };
  const api = await TestApi.open(noAuthentication, undefined, { tls });
  await api.app.listen({ host: '127.0.0.1', port: 0 });
  const { port } = api.app.server.address() as AddressInfo;
  const agent = new Agent({ ca: CERTIFICATE });
  const body = await new Promise<string>((resolve, reject) => {
    get({ host: '127.0.0.1', port, path: '/', agent }, (answer) => {
      let text = '';
      answer.on('data', (chunk: Buffer) => (text += chunk.toString()));
      answer.on('end', () => {
        resolve(text);
      });
    }).once('error', reject);
  });
  expect(body).toContain(`https://127.0.0.1:${port.toString()}/v2.0/`);
  await expect(fetch(`http://127.0.0.1:${port.toString()}/`)).rejects.toThrow();
  agent.destroy();
});

describe('so many requests in a second', () => {
  // A second that ends when we say so, however slow the machine is.
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['Date'] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  const statuses = async (count: number, ask: (number: number) => Promise<number>): Promise<readonly number[]> => {
    const all: number[] = [];
    for (let number = 0; number < count; number++) all.push(await ask(number));
    return all;
  };

  it('of one client are answered, and those of another all the same', async () => {
    const api = await TestApi.open(noAuthentication, undefined, { rate: 5 });
    const ask = async (as: As): Promise<number> => (await api.get('/networks', as)).status;
    expect(await statuses(8, async () => ask(MEMBER))).toEqual([200, 200, 200, 200, 200, 429, 429, 429]);
    expect(await ask(OTHER)).toBe(200);
    vi.advanceTimersByTime(1001);
    expect(await ask(MEMBER)).toBe(200);
  });

  it('of one address are heard with wrong identities, a new one each time; who is known is served all the same', async () => {
    const tokens = new Tokens(DIRECTORY);
    const api = await TestApi.open(tokens, tokens, { rate: 5 });
    const wrong = async (number: number): Promise<number> =>
      (await api.get('/networks', { token: `made-up-${number.toString()}` })).status;
    expect(await statuses(7, wrong)).toEqual([401, 401, 401, 401, 401, 429, 429]);
    expect((await api.get('/networks', { token: '0123456789abcdef' })).status).toBe(200);
  });

  it('a password is not guessed faster, whatever token comes with it', async () => {
    const tokens = new Tokens(DIRECTORY);
    const api = await TestApi.open(tokens, tokens, { rate: 5 });
    const login = async (number: number): Promise<number> => {
      const user = { name: 'alice', password: `guess${number.toString()}` };
      const body = { auth: { identity: { methods: ['password'], password: { user } } } };
      return (await api.call('POST', '/identity/v3/auth/tokens', body, { token: `made-up-${number.toString()}` }))
        .status;
    };
    const answers = await statuses(8, login);
    expect(answers).toEqual([401, 401, 401, 401, 401, 429, 429, 429]);
  });

  it('a keystone is not asked about more wrong tokens of one address', async () => {
    let asked = 0;
    const keystone: Authenticator = {
      authenticate: async ({ admit }) => {
        await admit();
        asked++;
        return undefined;
      },
    };
    const api = await TestApi.open(keystone, undefined, { rate: 5 });
    await statuses(9, async () => (await api.get('/networks', { token: 'x' })).status);
    expect(asked).toBe(5);
  });
});

const ALICE = { id: 'u', name: 'alice', password: 'secret', roles: new Map([['p', ['member', 'reader']]]) };
const PROJECT = { id: 'p', name: 'demo' };
const DIRECTORY = {
  projects: [PROJECT],
  users: [ALICE],
  tokens: [{ token: '0123456789abcdef', user: ALICE, project: PROJECT }],
};

describe('a body', () => {
  it.each([33, 5000, 100_000])('nested %i deep is a 400, wherever it is', async (depth) => {
    const api = await TestApi.open();
    const network = await api.subnetted(MEMBER);
    const deep = '['.repeat(depth) + ']'.repeat(depth);
    const before = api.database.revision;
    for (const [path, body] of [
      ['/ports', `{"port":{"network_id":"${network}","extra_dhcp_opts":[{"opt_name":"o","opt_value":${deep}}]}}`],
      ['/ports', `{"port":{"network_id":"${network}","binding:profile":{"o":${deep}}}}`],
      ['/security-groups', deep],
      ['/compute/v2.1/servers', `{"server":{"name":"x","metadata":${deep}}}`],
    ] as const) {
      expect([path, (await api.call('POST', path, body)).status]).toEqual([path, 400]);
    }
    expect((await api.call('PUT', '/portcullis/v1/backup?replace', deep)).status).toBe(400);
    expect(api.database.revision).toBe(before);
  });

  it('may hold brackets in its texts', async () => {
    const api = await TestApi.open();
    const name = '[{"\\'.repeat(40);
    expect((await api.make('/security-groups', 'security_group', { name }))['name']).toBe(name);
  });

  it('has its time to arrive, then it is cut, with TLS and without', async () => {
    const tls = { cert: Buffer.from(CERTIFICATE), key: Buffer.from(KEY) };
    for (const settings of [{}, { tls }]) {
      const api = await TestApi.open(noAuthentication, undefined, settings);
      const { requestTimeout, headersTimeout } = api.app.server;
      expect([requestTimeout, headersTimeout <= 60_000]).toEqual([30_000, true]);
    }
  });
});

describe('without authentication no browser is served for another site', () => {
  const JSON_TYPE = { 'content-type': 'application/json' };
  it.each<[string, Record<string, string>, number]>([
    ['a client', JSON_TYPE, 201],
    ['a client that names no type', {}, 201],
    ['localhost', { ...JSON_TYPE, host: 'localhost:PORT' }, 201],
    ['a page of its own', { ...JSON_TYPE, origin: 'http://127.0.0.1:PORT' }, 201],
    [
      'a program with fetch',
      { 'content-type': 'text/plain;charset=UTF-8', 'sec-fetch-mode': 'cors', 'user-agent': 'node' },
      201,
    ],
    ['a client behind a tunnel', { ...JSON_TYPE, host: 'localhost:1' }, 201],
    ['a client that names this host', { ...JSON_TYPE, host: 'controller' }, 201],
    ['a name that points here', { ...JSON_TYPE, host: 'evil.example:PORT' }, 403],
    [
      'a page of a name that points here',
      { ...JSON_TYPE, host: 'controller:PORT', 'sec-fetch-site': 'same-origin' },
      403,
    ],
    ['a name that begins like here', { ...JSON_TYPE, host: '127.0.0.1.evil.example:PORT' }, 403],
    ['a page of another port', { ...JSON_TYPE, host: '127.0.0.1:1', 'user-agent': 'Mozilla/5.0' }, 403],
    ['a page of no port', { ...JSON_TYPE, host: '127.0.0.1', referer: 'http://127.0.0.1/' }, 403],
    ['another origin', { ...JSON_TYPE, origin: 'http://evil.example' }, 403],
    ['another port’s origin', { ...JSON_TYPE, origin: 'http://127.0.0.1:1' }, 403],
    ['no origin that it would name', { ...JSON_TYPE, origin: 'null' }, 403],
    ['a form', { 'content-type': 'text/plain', 'user-agent': 'Mozilla/5.0' }, 403],
    ['a script', { 'content-type': 'text/plain', origin: 'http://evil.example', 'sec-fetch-site': 'cross-site' }, 403],
    ['a form of its own', { 'content-type': 'text/plain', origin: 'http://127.0.0.1:PORT' }, 403],
  ])('%s', async (_what, headers, status) => {
    const api = await TestApi.open();
    await api.app.listen({ host: '127.0.0.1', port: 0 });
    const { port } = api.app.server.address() as AddressInfo;
    const given = Object.entries(headers).map(([name, value]) => [name, value.replace('PORT', port.toString())]);
    const answered = await new Promise<number>((resolve, reject) => {
      const sent = request(
        {
          host: '127.0.0.1',
          port,
          path: '/v2.0/security-groups',
          method: 'POST',
          headers: Object.fromEntries(given) as Record<string, string>,
        },
        (answer) => {
          answer.resume();
          resolve(answer.statusCode ?? 0);
        },
      );
      sent.once('error', reject);
      sent.end('{"security_group":{"name":"x"}}');
    });
    expect(answered).toBe(status);
  });
});

it('the feed is for administrators, and for agents by their token; agents read nothing else', async () => {
  const api = await TestApi.open();
  const agent = { token: 'the-token-of-agents', roles: 'none' };
  for (const [as, status] of [
    [{}, 200],
    [MEMBER, 403],
    [READER, 403],
    [agent, 200],
    [{ ...agent, token: 'the-token-of-nobody' }, 403],
  ] as const) {
    expect((await api.get('/portcullis/v1/topology', as)).status).toBe(status);
  }
  expect((await api.get('/portcullis/v1/backup', agent)).status).toBe(403);
  expect((await api.get('/security-groups', agent)).status).toBe(403);
});

async function asked(url: string, path: string, agent: PlainAgent): Promise<void> {
  return new Promise((resolve, reject) => {
    getPlain(`${url}${path}`, { agent }, (answer) => {
      answer.resume();
      answer.once('end', resolve);
    }).once('error', reject);
  });
}

/** Everything that can be, now. */
function collect(): void {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
}

it('made-up paths leave nothing behind (CVE-2021-40797)', async () => {
  const api = await TestApi.open();
  const url = await api.app.listen({ host: '127.0.0.1', port: 0 });
  const agent = new PlainAgent({ keepAlive: true, maxSockets: 1 });
  const ask = async (count: number): Promise<number> => {
    for (let number = 0; number < count; number++) {
      await asked(url, `/v2.0/made-up-${Math.random().toString()}`, agent);
      step(`request ${number.toString()} of ${count.toString()}`);
    }
    collect();
    return process.memoryUsage().heapUsed;
  };
  await ask(5000);
  const before = await ask(1000);
  // A leak of the path alone would be more than a megabyte.
  expect(await ask(20_000)).toBeLessThan(before + 1024 * 1024);
  agent.destroy();
});
