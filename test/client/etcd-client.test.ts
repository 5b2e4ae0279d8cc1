/** The client of etcd, where connections are silent, refused, or were shown what is not valid any more. */
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { expect, it, onTestFinished } from 'vitest';
import { judgeClock } from '../../src/cli/doctor/clock.js';
import { clockSourceOf, readClock } from '../../src/cli/doctor/source-clock.js';
import { parseEtcdAddress } from '../../src/etcd/address.js';
import { EtcdClient, EtcdError, type EtcdCredentials } from '../../src/etcd/client.js';
import { eventually, within } from '../support/waiting.js';
import { Authority, replacePair, type Pair } from './lab/certificates.js';
import { Etcd, type EtcdOptions } from './lab/etcd.js';

const KEY = Buffer.from('/a');
const END = Buffer.from('/b');

async function cluster(options: EtcdOptions = {}): Promise<Etcd> {
  const etcd = await Etcd.start(options);
  onTestFinished(async () => etcd.end());
  return etcd;
}

function clientOf(url: string, given: EtcdCredentials = {}): EtcdClient {
  const client = new EtcdClient(parseEtcdAddress(url), given);
  onTestFinished(() => {
    client.close();
  });
  return client;
}

function newAuthority(): Authority {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-client-'));
  onTestFinished(() => {
    rmSync(folder, { recursive: true });
  });
  return new Authority(folder);
}

const given = (authority: Authority, { cert, key }: Pair): EtcdCredentials => ({
  caFile: authority.ca,
  certificate: { certFile: cert, keyFile: key },
});

/** Of a port where somebody takes connections, and says nothing. */
async function silent(): Promise<number> {
  const server = createServer((socket) => {
    onTestFinished(() => {
      socket.destroy();
    });
  });
  onTestFinished(async () => new Promise((resolve) => server.close(() => resolve())));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

/** What a question in vain says. */
async function refusal(client: EtcdClient): Promise<string> {
  const error = await client.range({ key: KEY }).catch((thrown: unknown) => thrown);
  if (!(error instanceof EtcdError)) throw new Error(`it was no refusal: ${String(error)}`);
  return error.message;
}

it('a watch at a member that takes connections and says nothing ends, and says so', async () => {
  const client = clientOf(`etcd:http://127.0.0.1:${await silent()}`);
  const ended = new Promise<EtcdError>((resolve) => {
    client.watch(KEY, END, 1, { onEvents: () => undefined, onEnd: resolve });
  });
  const error = await within('the watch to end', ended, () => '');
  expect([error.failure, error.message]).toEqual(['unreachable', expect.stringMatching(/: no connection within 2 s$/)]);
});

it('a watch ends with its connection when that does not answer a call, and not only when pings are lost', async () => {
  const etcd = await cluster({ members: 3 });
  const client = clientOf(etcd.url());
  await client.range({ key: KEY });
  const ends: EtcdError[] = [];
  client.watch(KEY, END, 1, { onEvents: () => undefined, onEnd: (error) => ends.push(error) });
  await setTimeout(500);
  // The first one, unless that was slow to answer as the client looked for one.
  for (let member = 0; member < 3 && ends.length === 0; member++) {
    etcd.stop(member);
    try {
      await client.range({ key: KEY });
    } finally {
      etcd.goOn(member);
    }
  }
  expect(ends.map(({ failure }) => failure)).toEqual(['unreachable']);
});

it('a token of before somebody was enrolled is asked for anew: with one that holds what it says (JWT) etcd refuses it from then on', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-client-'));
  onTestFinished(() => {
    rmSync(folder, { recursive: true });
  });
  const { privateKey, publicKey } = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  });
  const file = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text, { mode: 0o600 });
    return join(folder, name);
  };
  const keys = `pub-key=${file('public', publicKey)},priv-key=${file('private', privateKey)}`;
  const etcd = await cluster({ more: [`--auth-token=jwt,${keys},sign-method=RS256,ttl=1h`] });
  etcd.enableAuthentication('wonderland');
  const client = clientOf(etcd.url(), { user: { name: 'root', passwordFile: file('password', 'wonderland') } });
  const put = async (): Promise<unknown> =>
    client.txn({ compare: [], success: [{ request_put: { key: KEY, value: Buffer.of() } }], failure: [] });
  const told: unknown[] = [];
  const ends: string[] = [];
  const watch = (): void => {
    client.watch(KEY, END, 1, {
      onEvents: (events) => told.push(...events),
      onEnd: ({ message }) => {
        ends.push(message);
        if (ends.length === 1) watch();
      },
    });
  };
  await put();
  for (const name of ['one', 'other']) {
    etcd.ctl('role', 'add', name);
    await put();
    etcd.ctl('role', 'add', `${name}-more`);
    await client.range({ key: KEY });
  }
  etcd.ctl('role', 'add', 'last');
  watch();
  await eventually(() => told.length === 3 || ends.length > 1);
  expect([told.length, ends]).toEqual([3, [expect.stringMatching(/permission denied|is old/)]]);
});

it('the same trouble is the same words: who tells each once does not tell it at each try', async () => {
  const authority = newAuthority();
  const [good, expired] = [authority.issue('good'), authority.issue('expired', { lifetime: -60 })];
  const etcd = await cluster({ tls: { ca: authority.ca, ...good } });
  const nobody = clientOf('etcd:http://127.0.0.1:1');
  const [refused, again] = [await refusal(nobody), await refusal(nobody)];
  expect(refused).toMatch(/^127.0.0.1:1: .*ECONNREFUSED/);
  expect(again).toBe(refused);
  const client = clientOf(etcd.url(), given(authority, expired));
  const [first, second] = [await refusal(client), await refusal(client)];
  expect(second).toBe(first);
  expect(first).not.toMatch(/\n|routines/);
});

it('who shows a certificate that has expired is told which, and goes on with another one in its place', async () => {
  const authority = newAuthority();
  const [good, expired] = [authority.issue('good'), authority.issue('expired', { lifetime: -60 })];
  const etcd = await cluster({ tls: { ca: authority.ca, ...good } });
  const client = clientOf(etcd.url(), given(authority, expired));
  expect(await refusal(client)).toContain(`the certificate ${expired.cert} expired at 20`);
  replacePair(expired, authority.issue('renewed'));
  expect((await client.range({ key: KEY })).kvs).toEqual([]);
  // With the same pair `portcullis doctor` asks the member what time it is.
  const shown = { 'etcd-ca': authority.ca, 'etcd-cert': expired.cert, 'etcd-key': expired.key };
  const source = await clockSourceOf(etcd.url(), { ...shown, 'etcd-user': undefined, 'etcd-password': undefined });
  expect(judgeClock(await readClock(source))).toMatchObject({
    result: 'ok',
    reason: expect.stringMatching(/^as that of https:.*\/version$/) as unknown,
  });
});

it('who was denied what he asks for shows the certificate that is there by now', async () => {
  const authority = newAuthority();
  const [root, host] = [authority.issue('root'), authority.issue('stranger')];
  const etcd = await cluster({ tls: { ca: authority.ca, ...root } });
  etcd.ctl('user', 'add', 'root', '--no-password');
  etcd.ctl('auth', 'enable');
  const client = clientOf(etcd.url(), given(authority, host));
  expect(await refusal(client)).toContain('permission denied');
  replacePair(host, authority.issue('next', { commonName: 'root' }));
  // The connection that there is was made with the old one: the no to the next question is what ends it.
  expect(await refusal(client)).toContain('permission denied');
  expect((await client.range({ key: KEY })).kvs).toEqual([]);
});
