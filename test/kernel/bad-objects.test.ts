/** One bad object costs nobody but itself, from every source: on a change, at the first start, after a restart, and when it is mended. */
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LmdbStore } from '../../src/api/store/lmdb.js';
import type { Json } from '../../src/api/store/store.js';
import { importRecords, recordsOf } from '../../src/api/index.js';
import { step } from '../support/progress.js';
import { eventually } from '../support/waiting.js';
import { eachWithAgent } from './lab/agent-lab.js';
import type { Lab } from './lab/lab.js';
import {
  allow,
  CLIENT,
  EGRESS,
  forth,
  HERE,
  HOST,
  ipFrame,
  NAMED,
  PAIR_AND_NAMED,
  portFields,
  ports,
  reachIn,
  SERVER,
  type Rule,
} from './lab/pair.js';
import type { TestAgent } from './lab/test-agent.js';

const NAMED_ID = 'named-port-0007';

type Document = Readonly<Record<string, readonly Rule[]>>;

/** The server admits what it is told; the named port UDP 53 of everybody, and 55 by an address group. */
function documentOf(serverRules: readonly Rule[]): Document {
  return {
    networks: [{ id: 'network', name: 'network' }],
    address_groups: [{ id: 'friends', name: 'friends', addresses: [`${CLIENT.v4}/32`] }],
    security_groups: [
      { id: 'clients', name: 'clients', security_group_rules: EGRESS },
      { id: 'servers', name: 'servers', security_group_rules: serverRules },
      {
        id: 'named',
        name: 'named',
        security_group_rules: [
          allow('udp', 53, { id: 'named-53' }),
          allow('udp', 55, { id: 'named-55', remote_address_group_id: 'friends' }),
        ],
      },
    ],
    ports: [
      portFields(CLIENT, ['clients'], HERE),
      portFields(SERVER, ['servers'], HERE),
      { ...portFields(NAMED, ['named'], HERE), id: NAMED_ID, device: NAMED.device },
    ],
  };
}

const BEFORE = documentOf([allow('udp', 53), allow('udp', 54)]);
/** The server's second rule is revoked. */
const AFTER = documentOf([allow('udp', 53)]);

/** The document with one of its objects made another one, or several. */
function with_(document: Document, key: string, id: string, change: (object: Rule) => readonly Rule[]): Document {
  const list = document[key] ?? [];
  return { ...document, [key]: list.flatMap((object) => (object['id'] === id ? change(object) : [object])) };
}

const withRule = (document: Document, id: string, fields: Rule): Document =>
  with_(document, 'security_groups', 'named', (group) => [
    {
      ...group,
      security_group_rules: (group['security_group_rules'] as readonly Rule[]).map((rule) =>
        rule['id'] === id ? { ...rule, ...fields } : rule,
      ),
    },
  ]);

let lab: Lab;
let agent: TestAgent;
eachWithAgent(PAIR_AND_NAMED, (one, its) => {
  [lab, agent] = [one, its];
});

const toNamed = (port: number): Parameters<Lab['reach']>[0][number] => ({
  device: CLIENT.device,
  frame: ipFrame(CLIENT.mac, CLIENT.v4, NAMED.v4, ports(17, 30_000, port)),
});
const fromNamed = (port: number): Parameters<Lab['reach']>[0][number] => ({
  device: NAMED.device,
  frame: ipFrame(NAMED.mac, NAMED.v4, CLIENT.v4, ports(17, port, 30_000)),
});

/** The server's 53 and 54; the named port's 53 with its answer, and 55. */
const reach = async (): Promise<readonly unknown[]> =>
  reachIn(lab, forth('v4', 17, 53), forth('v4', 17, 54), toNamed(53), fromNamed(53), toNamed(55));
const S = [SERVER.device];
const N = [NAMED.device];
const C = [CLIENT.device];

const portcullis = async (
  ...args: readonly string[]
): Promise<{ readonly exitCode: number | undefined; readonly stdout: string }> =>
  lab.exec(process.execPath, ['dist/bin/portcullis.js', ...args]);

const status = async (): ReturnType<typeof portcullis> => portcullis('status', '--socket', agent.socket);

/** What an agent that starts now has in force: what `--skip-invalid` means. */
const differsFromFile = async (): Promise<unknown> =>
  (await portcullis('diff', '-t', agent.path, '--host', HOST, '--skip-invalid')).exitCode;

/** What breaks, the object that is named, and what of the named port's is left without its last good version. */
const CASES: readonly (readonly [string, (document: Document) => Document, string, readonly (readonly string[])[]])[] =
  [
    [
      'a rule tcp 0-65535',
      (document) => withRule(document, 'named-53', { protocol: 'tcp', port_range_min: 0, port_range_max: 65535 }),
      'security group rule named-53 of group named',
      [[], [], N],
    ],
    [
      'a rule of an unknown protocol',
      (document) => withRule(document, 'named-55', { protocol: 'udpx' }),
      'security group rule named-55 of group named',
      [N, C, []],
    ],
    [
      'a group with a field that nobody knows',
      (document) => with_(document, 'security_groups', 'named', (group) => [{ ...group, statefull: false }]),
      'security group named',
      [[], [], []],
    ],
    [
      'a group that is there twice',
      (document) => with_(document, 'security_groups', 'named', (group) => [group, { ...group, name: 'other' }]),
      'security group named',
      [[], [], []],
    ],
    [
      'an address group with a bad entry',
      (document) => with_(document, 'address_groups', 'friends', (group) => [{ ...group, addresses: ['10.0.0.0/33'] }]),
      'address group friends',
      [N, C, []],
    ],
    [
      'a port with a broken address',
      (document) =>
        with_(document, 'ports', NAMED_ID, (port) => [{ ...port, fixed_ips: [{ ip_address: '10.0.0.300' }] }]),
      `port ${NAMED_ID}`,
      [[], [], []],
    ],
    [
      'a port whose host cannot be told',
      (document) =>
        with_(document, 'ports', NAMED_ID, ({ 'binding:host_id': host, ...port }) => [
          { ...port, binding_host_id: host },
        ]),
      `port ${NAMED_ID}`,
      [[], [], []],
    ],
    [
      'a port that is there twice',
      (document) => with_(document, 'ports', NAMED_ID, (port) => [port, { ...port, name: 'other' }]),
      `port ${NAMED_ID}`,
      [[], [], []],
    ],
  ];

const FIRST = CASES[0]?.[0];

describe('a file with', () => {
  it('a bad object: its last good version stays and everything else is obeyed; mended, it is back', async () => {
    agent.write(BEFORE);
    await agent.run();
    for (const [what, spoil, object] of CASES) {
      step(what);
      await agent.settled(BEFORE);
      expect([what, ...(await reach())]).toEqual([what, S, S, N, C, N]);
      const { revoked, restored } = (await agent.status()).flows;
      await agent.settled(spoil(AFTER));
      const spoilt = await agent.status();
      expect(spoilt.isolated.map((one) => [one.object, one.inForce, one.ports])).toEqual([
        [object, 'last good version', [NAMED_ID]],
      ]);
      expect([what, spoilt.enforced, spoilt.source.staleSince]).toEqual([what, true, undefined]);
      expect([what, ...(await reach())]).toEqual([what, S, [], N, C, N]);
      // The flow of the rule that was revoked; none of the port that keeps what it had.
      expect([what, (await agent.status()).flows]).toEqual([what, { revoked: revoked + 1, restored }]);
      if (what === FIRST) {
        const said = await status();
        expect([said.exitCode, said.stdout]).toEqual([
          14,
          expect.stringContaining(`ISOLATED: ${object}: its last good`),
        ]);
      }
      await agent.settled(AFTER);
      expect([what, (await agent.status()).isolated]).toEqual([what, []]);
      expect([what, ...(await reach())]).toEqual([what, S, [], N, C, N]);
    }
    expect((await status()).exitCode).toBe(0);
    const log = agent.log().map(({ msg }) => msg);
    for (const object of new Set(CASES.map(([, , one]) => one))) {
      const times = CASES.filter(([, , one]) => one === object).length;
      expect(log.filter((line) => line.startsWith(`isolated, all else is enforced: ${object}: `))).toHaveLength(times);
      expect(log.filter((line) => line.startsWith(`${object}: not isolated any more`))).toHaveLength(times);
    }
  });

  it('a bad object: whoever starts with it has it closed, whatever is loaded, and everything else is obeyed; mended, it is back', async () => {
    agent.write(BEFORE);
    await agent.run();
    for (const [what, spoil, object, closed] of CASES) {
      step(what);
      await agent.settled(BEFORE);
      expect([what, ...(await reach())]).toEqual([what, S, S, N, C, N]);
      expect(await agent.end()).toBe(0);
      agent.write(spoil(AFTER));
      await agent.run();
      const restarted = await agent.until(({ settled }) => settled);
      expect(restarted.isolated.map((one) => [one.object, one.inForce])).toEqual([[object, 'nothing']]);
      expect([what, ...(await reach())]).toEqual([what, S, [], ...closed]);
      expect([what, await differsFromFile()]).toEqual([what, 0]);
      await agent.settled(AFTER);
      expect([what, (await agent.status()).isolated]).toEqual([what, []]);
      expect([what, ...(await reach())]).toEqual([what, S, [], N, C, N]);
    }
  });

  it('bad objects alone is obeyed at the first start: closed, and all else is in force', async () => {
    const spoilt = CASES.reduce((document, [, spoil]) => spoil(document), AFTER);
    agent.write(spoilt);
    await agent.run();
    await agent.until(({ settled }) => settled);
    expect(await reach()).toEqual([S, [], [], [], []]);
    expect((await agent.status()).ports.find(({ id }) => id === NAMED_ID)).toMatchObject({ state: 'closed' });
    expect(await differsFromFile()).toBe(0);
    await lab.load('flush ruleset');
    await agent.until(({ drift, settled }) => drift.foreign > 0 && settled);
    await lab.restoreProbe();
    expect(await reach()).toEqual([S, [], [], [], []]);
  });

  it('most of this host’s ports bad is no file without them', async () => {
    agent.write(BEFORE);
    await agent.run();
    const all = { ...BEFORE, ports: (BEFORE['ports'] ?? []).map((port) => ({ ...port, bogus: 1 })) };
    agent.write(all);
    const spoilt = await agent.until(({ isolated }) => isolated.length === 3);
    expect(spoilt.source).toMatchObject({ isHeld: false });
    expect(await reach()).toEqual([S, S, N, C, N]);
    await agent.end();
    await agent.run();
    expect((await agent.until(({ settled }) => settled)).source.isHeld).toBe(false);
    expect(await reach()).toEqual([[], [], [], [], []]);
  });

  it('two ports of one device: the one that had it keeps it; after a restart it is closed, and goes to the one that is left', async () => {
    const twin = {
      ...portFields({ ...NAMED, v4: '10.0.0.8' }, ['clients'], HERE),
      id: 'twin-port-00008',
      device: NAMED.device,
    };
    const both = { ...AFTER, ports: [...(AFTER['ports'] ?? []), twin] };
    agent.write(BEFORE);
    await agent.run();
    expect(await reach()).toEqual([S, S, N, C, N]);
    agent.write(both);
    const contested = await agent.until(({ isolated, settled }) => isolated.length > 0 && settled);
    expect(contested.isolated.map((one) => one.object)).toEqual(['port twin-port-00008']);
    expect(contested.isolated[0]?.problems.join()).toContain(`${NAMED_ID} had it before and keeps it`);
    expect(await reach()).toEqual([S, [], N, C, N]);
    await agent.end('SIGKILL');
    await agent.run();
    await agent.until(({ isolated, settled }) => isolated.length === 2 && settled);
    expect(await reach()).toEqual([S, [], [], [], []]);
    await agent.settled(AFTER);
    expect(await reach()).toEqual([S, [], N, C, N]);
  });
});

it('a folder of files, in YAML, is the same', async () => {
  mkdirSync(agent.path);
  const put = (name: string, content: Rule): void => {
    // JSON is YAML.
    writeFileSync(join(agent.path, '.next'), `# ${name}\n${JSON.stringify(content)}`);
    renameSync(join(agent.path, '.next'), join(agent.path, `${name}.yaml`));
  };
  const { ports: portList, ...rest } = BEFORE;
  put('ports', { ports: portList });
  put('rest', rest);
  await agent.run();
  expect(await reach()).toEqual([S, S, N, C, N]);
  const spoilt = withRule(AFTER, 'named-53', { port_range_max: 1 });
  put('rest', Object.fromEntries(Object.entries(spoilt).filter(([key]) => key !== 'ports')));
  await agent.until(({ isolated, settled }) => isolated.length === 1 && settled);
  expect(await reach()).toEqual([S, [], N, C, N]);
});

describe('a store with', () => {
  let path: string;
  beforeEach(() => {
    path = mkdtempSync(join(agent.folder, 'store-'));
  });
  afterEach(() => {
    rmSync(path, { recursive: true, force: true });
  });

  const socketPath = (): string => join(agent.folder, 'api.sock');
  const SOURCE = (): readonly string[] => ['--api', `unix:${socketPath()}`, '--store', path];
  /** Makes a group that nobody has. @returns the answer's status. */
  const poke = async (): Promise<number | undefined> =>
    new Promise((resolve, reject) => {
      const options = { socketPath: socketPath(), path: '/v2.0/security-groups', method: 'POST' };
      const asked = request({ ...options, headers: { 'Content-Type': 'application/json' } }, (answer) => {
        resolve(answer.statusCode);
      });
      asked.on('error', reject);
      asked.end(JSON.stringify({ security_group: { name: 'poke' } }));
    });
  /** As the API stores it: devices follow from ids. */
  const id = (device: string, n: number): string =>
    `${device.slice(3).padEnd(11, '0')}-0000-4000-8000-00000000000${n.toString()}`;
  const rule = (name: string, port: number): Rule => ({
    ...allow('udp', port),
    id: name,
    security_group_id: 'servers',
  });

  it('old records that the API would not take: they are isolated, at the start and on a change, and all else is enforced', async () => {
    const document = {
      networks: [{ id: 'network', name: 'network' }],
      security_groups: [
        {
          id: 'clients',
          name: 'clients',
          security_group_rules: EGRESS.map((one, n) => ({
            id: `egress-${n.toString()}`,
            security_group_id: 'clients',
            ...one,
          })),
        },
        { id: 'servers', name: 'servers', security_group_rules: [rule('server-53', 53), rule('server-54', 54)] },
      ],
      ports: [
        { ...portFields(CLIENT, ['clients'], HERE), id: id(CLIENT.device, 1) },
        { ...portFields(SERVER, ['servers'], HERE), id: id(SERVER.device, 2) },
      ],
    };
    const { records } = recordsOf([{ file: 'test', content: document }], false);
    await importRecords(await LmdbStore.open(path), records);
    const store = await LmdbStore.open(path);
    // So that the lock does not keep out the agent, whose store this test writes.
    rmSync(join(path, 'served.lock'));
    let isServed = false;
    /** A transaction of a version that checked less. As the API does, one that changes a rule changes its group, too. */
    const change = async (key: string, fields: Readonly<Record<string, Json>>): Promise<void> => {
      const { revision, entries } = await store.load();
      const changed = (of: string, by: Readonly<Record<string, Json>>): [string, Json] => [
        of,
        { ...(entries.get(of) as Readonly<Record<string, Json>>), ...by },
      ];
      const changes = new Map([changed(key, fields), changed('security_group/servers', { revision_number: revision })]);
      if ((await store.commit(revision, changes)) === 'conflict') throw new Error('somebody else writes');
      // The API hears of it when it writes next.
      if (isServed) await eventually(async () => (await poke().catch(() => 0)) === 201);
    };
    const served = async (): Promise<unknown> => reachIn(lab, forth('v4', 17, 53), forth('v4', 17, 54));
    await change('security_group_rule/server-54', { protocol: 'tcp', port_range_min: 0, port_range_max: 65535 });
    await agent.run({ source: SOURCE() });
    isServed = true;
    const started = await agent.until(({ settled }) => settled);
    expect(started.isolated.map((one) => [one.object, one.inForce])).toEqual([
      ['security group rule server-54 of group servers', 'nothing'],
    ]);
    expect(await served()).toEqual([S, []]);

    await change('security_group_rule/server-54', { protocol: 'udp', port_range_min: 54, port_range_max: 54 });
    await agent.until(({ isolated, settled }) => isolated.length === 0 && settled);
    expect(await served()).toEqual([S, S]);

    await change(`port/${id(SERVER.device, 2)}`, { fixed_ips: [{ subnet_id: '', ip_address: '10.0.0.300' }] });
    await agent.until(({ isolated, settled }) => isolated[0]?.inForce === 'last good version' && settled);
    expect(await served()).toEqual([S, S]);
    await change('security_group_rule/server-54', { port_range_min: 55, port_range_max: 55 });
    await agent.until(({ flows, settled }) => flows.revoked > 0 && settled);
    expect(await served()).toEqual([S, []]);

    await agent.end();
    await agent.run({ source: SOURCE() });
    await agent.until(({ isolated, settled }) => isolated[0]?.inForce === 'nothing' && settled);
    expect(await served()).toEqual([[], []]);
    await change(`port/${id(SERVER.device, 2)}`, { fixed_ips: [{ subnet_id: '', ip_address: SERVER.v4 }] });
    await agent.until(({ isolated, settled }) => isolated.length === 0 && settled);
    expect(await served()).toEqual([S, []]);
    await store.close();
  });
});
