/** What the server does before any route: TLS, rates, who may read the feed. */
import { Agent as PlainAgent, get as getPlain } from 'node:http';
import { Agent, get } from 'node:https';
import type { AddressInfo } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, it, vi } from 'vitest';
import { noAuthentication } from '../../../src/api/auth/none.js';
import { MEMBER, READER, TestApi } from '../../support/api.js';
import { CERTIFICATE, KEY } from '../../support/certificate.js';

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

it('answers so many requests of one client in a second, and those of another all the same', async () => {
  const api = await TestApi.open(noAuthentication, undefined, { rate: 5 });
  const ask = async (token: string): Promise<number> => (await api.get('/networks', { ...MEMBER, token })).status;
  // A second that ends when we say so, however slow the machine is.
  vi.useFakeTimers({ toFake: ['Date'] });
  try {
    const statuses: number[] = [];
    for (let number = 0; number < 8; number++) statuses.push(await ask('one'));
    expect(statuses).toEqual([200, 200, 200, 200, 200, 429, 429, 429]);
    expect(await ask('two')).toBe(200);
    vi.advanceTimersByTime(1001);
    expect(await ask('one')).toBe(200);
  } finally {
    vi.useRealTimers();
  }
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
    for (let number = 0; number < count; number++) await asked(url, `/v2.0/made-up-${Math.random().toString()}`, agent);
    collect();
    return process.memoryUsage().heapUsed;
  };
  await ask(5000);
  const before = await ask(1000);
  // A leak of the path alone would be more than a megabyte.
  expect(await ask(20_000)).toBeLessThan(before + 1024 * 1024);
  agent.destroy();
});
