/** The etcd source: what an agent has from a real etcd is what the policy was at some revision, whatever is cut, and never anything else. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { parseEtcdAddress } from '../../src/etcd/address.js';
import { EtcdClient, EtcdError, endOf, type EtcdCredentials } from '../../src/etcd/client.js';
import { Database } from '../../src/api/database.js';
import { EtcdStore } from '../../src/api/store/etcd.js';
import { EtcdSource } from '../../src/sources/etcd/index.js';
import type { SourceEvent } from '../../compiler/model/index.js';
import { Followed } from '../support/followed.js';
import { HOSTS, NOBODY, port, putWorld, randomChange, randomNumbers, rulesOf, rulesOfAll } from '../support/policy.js';
import { step } from '../support/progress.js';
import { HOST, remoteSourceContract } from '../support/source-contract.js';
import { eventually, progressing } from '../support/waiting.js';
import { Authority, type Pair } from './lab/certificates.js';
import { CutProxy } from '../support/cut-proxy.js';
import { Etcd } from './lab/etcd.js';

const toEnd: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const end of toEnd.splice(0).reverse()) await end();
});

async function cluster(members = 1): Promise<Etcd> {
  const etcd = await Etcd.start({ members });
  toEnd.push(async () => etcd.end());
  return etcd;
}

async function database(url: string): Promise<Database> {
  const opened = await Database.open(await EtcdStore.open(parseEtcdAddress(url), {}), () => undefined);
  toEnd.push(async () => opened.close());
  return opened;
}

async function proxyOf(etcd: Etcd): Promise<CutProxy> {
  const proxy = await CutProxy.start(etcd.url());
  toEnd.push(async () => proxy.end());
  return proxy;
}

/** An agent without a kernel. */
class Agent {
  readonly followed = new Followed();
  readonly events: SourceEvent[] = [];
  /** After each event, by its revision. */
  readonly enforced: { readonly revision: number; readonly rules: string }[] = [];
  readonly #source: EtcdSource;

  constructor(
    url: string,
    private readonly host: string,
    given: EtcdCredentials = {},
  ) {
    this.#source = new EtcdSource(parseEtcdAddress(url), given, host);
    toEnd.push(() => {
      this.stop();
    });
  }

  start(): this {
    this.#source.start(
      (event) => {
        this.events.push(event);
        if (event.kind === 'stale') return;
        this.followed.take(event);
        this.enforced.push({ revision: event.revision ?? -1, rules: rulesOf(this.followed.topology, this.host) });
      },
      () => this.followed.topology,
    );
    return this;
  }

  get revision(): number {
    return this.enforced.at(-1)?.revision ?? -1;
  }

  stop(): void {
    this.#source.stop();
  }
}

it('any changes by two processes, connections that break: each host has what the policy was, revision by revision, and in the end is', async () => {
  const etcd = await cluster(3);
  const apis = [await database(etcd.url()), await database(etcd.url(1))] as const;
  await apis[0].change(NOBODY, putWorld);
  const expected = new Map<string, string>();
  const note = (revision: number): void => {
    for (const host of HOSTS) expected.set(`${host} ${revision.toString()}`, rulesOfAll(apis[0], host));
  };
  note(apis[0].revision);
  apis[0].listen(({ revision }) => {
    note(revision);
  });
  const proxies = [await proxyOf(etcd), await proxyOf(etcd)];
  const agents = HOSTS.map((host, index) => new Agent(proxies[index]?.url ?? '', host).start());
  const random = randomNumbers();
  for (let change = 0; change < 100; change++) {
    step(`change ${change.toString()}`);
    await apis[change % 2]?.change(NOBODY, (writer) => {
      randomChange(random, writer);
    });
    if (random() < 0.05) proxies[change % 2]?.cut();
    await setTimeout(random() * 40);
  }
  const newest = apis[1].revision;
  await progressing(
    () => 'both hosts to have the newest revision',
    () => agents.every(({ revision }) => revision === newest),
    () => agents.map(({ revision }) => revision).join(),
  );
  let moves = 0;
  for (const [index, agent] of agents.entries()) {
    let before = -1;
    for (const { revision, rules } of agent.enforced) {
      expect(revision).toBeGreaterThanOrEqual(before);
      before = revision;
      expect(rules, `${HOSTS[index] ?? ''} at ${revision.toString()}`).toBe(
        expected.get(`${HOSTS[index] ?? ''} ${revision.toString()}`),
      );
      moves++;
    }
    // It was read once, and followed from then on.
    expect(agent.events.filter(({ kind }) => kind === 'topology')).toHaveLength(1);
  }
  expect(moves).toBeGreaterThan(30);
});

it('who was away, during changes and a compaction, is told the difference, as one change', async () => {
  const etcd = await cluster();
  const api = await database(etcd.url());
  await api.change(NOBODY, putWorld);
  const proxy = await proxyOf(etcd);
  const agent = new Agent(proxy.url, 'host-0').start();
  await eventually(() => agent.revision === api.revision);
  await proxy.refuse();
  await eventually(() => agent.events.some(({ kind }) => kind === 'stale'));
  const before = agent.enforced.length;
  const random = randomNumbers();
  for (let change = 0; change < 40; change++) {
    await api.change(NOBODY, (writer) => {
      randomChange(random, writer);
    });
  }
  await api.change(NOBODY, (writer) => {
    writer.put('port', port(1, 'host-0', ['web', 'db']));
  });
  etcd.compact();
  expect(agent.enforced).toHaveLength(before);
  await proxy.accept();
  await eventually(() => agent.revision === api.revision);
  expect(agent.enforced.length).toBe(before + 1);
  expect(agent.enforced.at(-1)?.rules).toBe(rulesOfAll(api, 'host-0'));
});

it('who was away while a port was deleted and history ended with that does not let it pass any longer', async () => {
  const etcd = await cluster();
  const api = await database(etcd.url());
  await api.change(NOBODY, putWorld);
  await api.change(NOBODY, (writer) => {
    writer.put('port', port(1, 'host-0', ['web', 'db']));
    writer.put('port', port(2, 'host-0', ['web', 'db']));
  });
  const proxy = await proxyOf(etcd);
  const agent = new Agent(proxy.url, 'host-0').start();
  await eventually(() => agent.revision === api.revision);
  await proxy.refuse();
  await eventually(() => agent.events.some(({ kind }) => kind === 'stale'));
  await api.change(NOBODY, (writer) => {
    writer.delete('port', port(1, 'host-0', []).id);
  });
  etcd.compact('--physical');
  await proxy.accept();
  await eventually(() => agent.revision === api.revision);
  expect(agent.enforced.at(-1)?.rules).toBe(rulesOfAll(api, 'host-0'));
});

it('etcd that was away and is back, with nothing changed, is told', async () => {
  const etcd = await cluster();
  const api = await database(etcd.url());
  await api.change(NOBODY, putWorld);
  const proxy = await proxyOf(etcd);
  const agent = new Agent(proxy.url, 'host-0').start();
  await eventually(() => agent.revision === api.revision);
  // Twice: the same reason is told anew.
  for (const times of [1, 2]) {
    await proxy.refuse();
    await eventually(() => agent.events.at(-1)?.kind === 'stale');
    await proxy.accept();
    await eventually(() => agent.events.at(-1)?.kind === 'changes');
    expect(agent.events.filter(({ kind }) => kind === 'topology')).toHaveLength(1);
    expect(agent.enforced.filter(({ revision }) => revision === api.revision)).toHaveLength(1 + times);
  }
});

it('a store of before agents read there gets what they read when an API serves it', async () => {
  const etcd = await cluster();
  const before = await database(etcd.url());
  await before.change(NOBODY, putWorld);
  const prefix = '/portcullis/view';
  const stored = (): string => etcd.ctl('get', '--prefix', `${prefix}/`);
  const complete = stored();
  expect(complete).toContain('members/web');
  await before.close();
  etcd.ctl('del', '--prefix', prefix);
  expect(stored()).toBe('');
  const api = await database(etcd.url());
  // The marks name another commit.
  const withoutMarks = (text: string): string => text.replaceAll(/^(\/portcullis\/view\/\S+\/)\n.*$/gm, '$1');
  expect(withoutMarks(stored())).toBe(withoutMarks(complete));
  const agent = new Agent(etcd.url(), 'host-0').start();
  await eventually(() => agent.revision === api.revision);
  expect(agent.enforced.at(-1)?.rules).toBe(rulesOfAll(api, 'host-0'));
});

it('one more member of 20 000: under 1 kB to a host whose rules name them, nothing to one whose rules do not', async () => {
  const etcd = await cluster();
  const api = await database(etcd.url());
  await api.change(NOBODY, putWorld);
  await api.change(NOBODY, (writer) => {
    for (let number = 0; number < 20_000; number++) writer.put('port', port(10_000 + number, 'host-9', ['admin']));
  });
  const [near, far] = [await proxyOf(etcd), await proxyOf(etcd)];
  const uses = new Agent(near.url, 'host-0').start();
  const usesNot = new Agent(far.url, 'host-1').start();
  await progressing(
    () => 'both hosts to have it',
    () => uses.revision === api.revision && usesNot.revision === api.revision,
    () => `${uses.revision.toString()} ${usesNot.revision.toString()}`,
  );
  const bytes: number[] = [];
  for (let more = 0; more < 5; more++) {
    // Looks at nothing new come every ten seconds: the least of some is without one.
    const before = near.said;
    const beforeFar = far.said;
    await api.change(NOBODY, (writer) => {
      writer.put('port', port(100_000 + more, 'host-9', ['admin']));
    });
    await eventually(() => uses.revision === api.revision);
    bytes.push(near.said - before);
    if (more === 4) continue;
    expect(far.said - beforeFar).toBeLessThan(500);
  }
  expect(Math.min(...bytes)).toBeLessThan(1000);
  expect(uses.followed.ports.size).toBe(20_000 + 5 + 2);
  expect(usesNot.followed.ports.size).toBe(3);
});

it('another store at the same address, and the same one as it was once, are doubted', async () => {
  const etcd = await cluster();
  const api = await database(etcd.url());
  await api.change(NOBODY, putWorld);
  const agent = new Agent(etcd.url(), 'host-0').start();
  await eventually(() => agent.revision === api.revision);
  await api.close();
  await etcd.wipe();
  const anew = await database(etcd.url());
  await anew.change(NOBODY, putWorld);
  await progressing(
    () => 'the doubt',
    () => agent.events.some((event) => event.kind === 'topology' && event.doubt !== undefined),
    () => JSON.stringify(agent.events.at(-1)).slice(0, 300),
  );
});

it('a store of a later version, which would be misread, is not read, and the agent says who is to be upgraded', async () => {
  const etcd = await cluster();
  const api = await database(etcd.url());
  await api.change(NOBODY, putWorld);
  const before = etcd.ctl('get', '--print-value-only', '/portcullis/head').trim();
  const agent = new Agent(etcd.url(), 'host-0').start();
  await eventually(() => agent.revision === api.revision);
  const later = { ...(JSON.parse(before) as object), view: 2 };
  etcd.ctl('put', '/portcullis/head', JSON.stringify(later));
  const anew = new Agent(etcd.url(), 'host-0').start();
  for (const one of [anew, agent]) {
    // The one that follows asks for the head with each change.
    etcd.ctl('put', '/portcullis/view/hosts/host-0/', 'a-commit');
    await eventually(() => JSON.stringify(one.events).includes('newer version'));
  }
  expect(anew.enforced).toEqual([]);
  expect(agent.enforced.at(-1)?.rules).toBe(rulesOfAll(api, 'host-0'));
  etcd.ctl('put', '/portcullis/head', before);
  await eventually(() => anew.revision === api.revision && agent.events.at(-1)?.kind === 'changes');
});

describe('as every source', () => {
  remoteSourceContract(async () => {
    const etcd = await cluster();
    const proxy = await proxyOf(etcd);
    return {
      database: await database(etcd.url()),
      publish: () => undefined,
      source: () => new EtcdSource(parseEtcdAddress(proxy.url), {}, HOST),
      leave: async () => proxy.refuse(),
      comeBack: async () => proxy.accept(),
    };
  });
});

describe('the rights of a host', () => {
  it('it reads what concerns it and writes its own report; of others it reads nothing, and writes nothing else', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'portcullis-rights-'));
    toEnd.push(() => {
      rmSync(folder, { recursive: true });
    });
    const authority = new Authority(folder);
    const root = authority.issue('root');
    const etcd = await Etcd.start({ tls: { ca: authority.ca, ...root } });
    toEnd.push(async () => etcd.end());
    etcd.ctl('user', 'add', 'root', '--no-password');
    etcd.ctl('auth', 'enable');
    const given = ({ cert, key }: Pair): EtcdCredentials => ({
      caFile: authority.ca,
      certificate: { certFile: cert, keyFile: key },
    });
    const address = parseEtcdAddress(etcd.url());
    const api = await Database.open(await EtcdStore.open(address, given(root)), () => undefined);
    toEnd.push(async () => api.close());
    await api.change(NOBODY, putWorld);

    const enrolled = (host: string): string =>
      execFileSync(
        process.execPath,
        [
          ...['dist/bin/portcullis.js', 'hosts', 'enrol', host, '--store', etcd.url(), '--etcd-ca', authority.ca],
          ...['--etcd-cert', root.cert, '--etcd-key', root.key],
        ],
        { encoding: 'utf8' },
      );
    const [one, other, stranger] = [authority.issue('host-0'), authority.issue('host-1'), authority.issue('host-2')];
    for (const host of ['host-0', 'host-0', 'host-1']) expect(enrolled(host)).toContain(`${host} is a user of etcd`);

    // Each follows what is its own.
    const agents = [
      new Agent(etcd.url(), 'host-0', given(one)).start(),
      new Agent(etcd.url(), 'host-1', given(other)).start(),
    ];
    await eventually(() => agents.every(({ revision }) => revision === api.revision));
    for (const [index, agent] of agents.entries()) {
      expect(agent.enforced.at(-1)?.rules).toBe(rulesOfAll(api, HOSTS[index] ?? ''));
    }
    // With somebody else's certificate, and with one that nobody enrolled, there is nothing to follow.
    for (const wrong of [one, stranger]) {
      const thief = new Agent(etcd.url(), 'host-1', given(wrong)).start();
      await eventually(() => thief.events.length > 0);
      expect(JSON.stringify(thief.events[0])).toMatch(
        /permission denied|user name not found|invalid auth|user name is empty/,
      );
      thief.stop();
      expect(thief.enforced).toEqual([]);
    }

    const client = new EtcdClient(address, given(one));
    toEnd.push(() => {
      client.close();
    });
    const key = (name: string): Buffer => Buffer.from(address.prefix + name);
    const denied = async (what: string, attempt: Promise<unknown>): Promise<void> => {
      await expect(attempt, what).rejects.toThrow(/permission denied/);
    };
    const put = async (name: string): Promise<unknown> =>
      client.txn({
        compare: [],
        success: [{ request_put: { key: key(name), value: Buffer.from('{}') } }],
        failure: [],
      });
    const remove = async (name: string): Promise<unknown> => {
      const request = { key: key(name), range_end: endOf(key(name)) };
      return client.txn({ compare: [], success: [{ request_delete_range: request }], failure: [] });
    };
    const before = etcd.ctl('get', '--prefix', address.prefix);
    const others = [
      'records/',
      'records/port/x',
      'pieces/',
      'parts/',
      'view',
      'view/',
      'view/hosts/',
      'view/hosts/host-1/',
      'reports/',
      'reports/host-1',
    ];
    for (const name of [...others, ''])
      await denied(`read ${name}`, client.range({ key: key(name), range_end: endOf(key(name === '' ? '' : name)) }));
    const forbidden = [
      ...others,
      'head',
      'identity',
      'probe',
      'view/hosts/host-0/',
      'view/hosts/host-0/port/x',
      'view/groups/web/rule/x',
      'view/members/web/port/x',
      'view/asked/',
    ];
    for (const name of forbidden) {
      await denied(`write ${name}`, put(name));
      await denied(`remove ${name}`, remove(name));
    }
    const watched = new Promise<EtcdError>((resolve) => {
      const start = key('view/hosts/host-1/');
      client.watch(start, endOf(start), 1, {
        onEvents: (events) => events.length > 0 && resolve(new EtcdError('refused', 'it was told')),
        onEnd: resolve,
      });
    });
    expect((await watched).message).toContain('permission denied');
    // What a host can do changes nothing for anybody else.
    expect(etcd.ctl('get', '--prefix', address.prefix)).toBe(before);
    await put('reports/host-0');
    expect(etcd.ctl('get', '--prefix', `${address.prefix}reports/`)).toContain('reports/host-0');
  });
});
