/** The feed: changes told one by one make the topology that everything at once makes. */
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { eventually } from '../../support/waiting.js';
import {
  EMPTY_TOPOLOGY,
  isolationKey,
  parseTopology,
  type Isolation,
  type Topology,
} from '../../../compiler/model/index.js';
import { parseFeedLine, TopologyFeed } from '../../../src/sources/feed/feed.js';
import { ApiSource } from '../../../src/sources/api/index.js';
import type { SourceEvent } from '../../../compiler/model/index.js';
import { DatabaseSource } from '../../../src/api/topology/source.js';
import { topologyDocument } from '../../../src/api/topology/lines.js';
import { arbitraryDocument } from '../../support/arbitrary-topology.js';
import { arbitraryBreakages, broken, isTwice } from '../../support/broken-topology.js';
import { Followed } from '../../support/followed.js';
import { expectSame } from '../../support/same.js';
import { idOf, MEMBER, TestApi } from '../../support/api.js';

const inForce = (): Topology => EMPTY_TOPOLOGY;

function contentOf(document: object): object {
  const whole = new Followed();
  whole.take({ kind: 'topology', ...parseTopology([{ file: '', content: document }]) });
  return whole.content;
}

type Objects = Readonly<Record<string, readonly (Readonly<Record<string, unknown>> & { readonly id: string })[]>>;

/** What turns one document into another, as the API would tell it: a group that is no more is in no rule and no port. */
function lineBetween(before: Objects, after: Objects, revision: number): string {
  const collections = ['networks', 'address_groups', 'security_groups', 'ports'];
  const line: Record<string, unknown> = { revision };
  const gone: Record<string, unknown> = {};
  for (const name of collections) {
    const old = new Map((before[name] ?? []).map((one) => [one.id, JSON.stringify(one)]));
    line[name] = (after[name] ?? []).filter((one) => old.get(one.id) !== JSON.stringify(one));
    const left = new Set((after[name] ?? []).map(({ id }) => id));
    gone[name] = [...old.keys()].filter((id) => !left.has(id));
  }
  return JSON.stringify({ ...line, gone });
}

it('any changes, told line by line', () => {
  fc.assert(
    fc.property(fc.array(arbitraryDocument(), { minLength: 2, maxLength: 6 }), (documents) => {
      const [feed, followed] = [new TopologyFeed('test'), new Followed()];
      let before: Objects = {};
      for (const [index, document] of documents.entries()) {
        const after = document as unknown as Objects;
        const line =
          index === 0 ? JSON.stringify({ revision: 0, reset: true, ...after }) : lineBetween(before, after, index);
        followed.take(feed.take(parseFeedLine(line), EMPTY_TOPOLOGY));
        before = after;
        expectSame(followed.content, contentOf(after));
      }
    }),
    { numRuns: 200 },
  );
});

it('any changes, some of which are bad, told line by line: what is in force is what everything at once would leave in force', () => {
  // Two objects with one id are one in a feed.
  const once = arbitraryBreakages.map((choices) => choices.filter((choice) => !isTwice(choice)));
  fc.assert(
    fc.property(
      fc.array(fc.tuple(arbitraryDocument(), fc.option(once, { nil: [] })), { minLength: 2, maxLength: 6 }),
      (steps) => {
        const [feed, followed] = [new TopologyFeed('test'), new Followed()];
        let before: Objects = {};
        for (const [index, [document, choices]] of steps.entries()) {
          const after = broken(document, choices).bad as unknown as Objects;
          const line =
            index === 0 ? JSON.stringify({ revision: 0, reset: true, ...after }) : lineBetween(before, after, index);
          const expected = parseTopology([{ file: 'test', content: after }], { lastGood: followed.topology });
          const event = feed.take(parseFeedLine(line), followed.topology);
          followed.take(event);
          before = after;
          const whole = new Followed();
          whole.take({ kind: 'topology', ...expected });
          expectSame(followed.content, whole.content);
          const keysOf = (isolations: readonly Isolation[]): readonly string[] =>
            isolations.map((one) => `${isolationKey(one).replace(/at .*/, '')} ${String(one.isKept)}`).sort();
          expect(keysOf(event.isolations)).toEqual(keysOf(expected.isolations));
        }
      },
    ),
    { numRuns: 200 },
  );
});

/** A feed, and whoever has in force what it tells. */
function obeyed(): { readonly followed: Followed; readonly take: (line: object) => SourceEvent } {
  const [feed, followed] = [new TopologyFeed('test'), new Followed()];
  let revision = 0;
  return {
    followed,
    take: (line) => {
      const parsed = parseFeedLine(JSON.stringify({ revision: revision++, ...line }));
      const event = feed.take(parsed, followed.topology);
      followed.take(event);
      return event;
    },
  };
}

it('a device that two ports claim stays with the one that had it, until that one goes', () => {
  const { followed, take } = obeyed();
  const port = (id: string, device: string): object => ({
    id,
    device,
    network_id: 'n',
    mac_address: 'fa:16:3e:00:00:01',
    security_groups: [],
  });
  const devices = (): readonly string[] =>
    [...followed.topology.ports.values()].map(({ id, device, filtering }) => `${id} ${filtering} ${device}`).sort();
  take({ reset: true, ports: [port('a', 'tap1')] });
  const contested = take({ ports: [port('b', 'tap1')] });
  expect(devices()).toEqual(['a filtered tap1']);
  expect(contested).toMatchObject({ kind: 'changes', isolations: [{ kind: 'port', id: 'b', isKept: false }] });
  take({ ports: [port('b', 'tap2')] });
  expect(devices()).toEqual(['a filtered tap1', 'b filtered tap2']);
  take({ ports: [port('b', 'tap1')] });
  expect(devices()).toEqual(['a filtered tap1', 'b filtered tap2']);
  expect(take({ gone: { ports: ['a'] } })).toMatchObject({ isolations: [] });
  expect(devices()).toEqual(['b filtered tap1']);
  take({ ports: [port('c', 'tap3'), port('d', 'tap3')] });
  expect(devices()).toEqual(['b filtered tap1', 'c closed tap3']);
  take({ gone: { ports: ['c'] } });
  expect(devices()).toEqual(['b filtered tap1', 'd filtered tap3']);
});

it('bad objects are told with every line until they are mended, and what is good beside them is told', () => {
  const { followed, take } = obeyed();
  const rule = (id: string, first: number, last: number): object => ({
    id,
    direction: 'ingress',
    protocol: 'tcp',
    port_range_min: first,
    port_range_max: last,
  });
  const group = (id: string, ...rules: readonly object[]): object => ({ id, security_group_rules: rules });
  const port = { id: 'p', network_id: 'n', mac_address: 'fa:16:3e:00:00:01', security_groups: ['one', 'two'] };
  const rules = (id: string): readonly string[] | undefined =>
    followed.topology.securityGroups.get(id)?.rules.map((one) => one.id);
  const first = take({
    reset: true,
    security_groups: [group('one', rule('old', 0, 65535), rule('r80', 80, 80)), group('two')],
    ports: [port],
  });
  expect(first).toMatchObject({ isolations: [{ kind: 'security group rule', id: 'old', portIds: ['p'] }] });
  expect(rules('one')).toEqual(['r80']);
  expect(take({ security_groups: [group('two', rule('r22', 22, 22))] }).kind).toBe('changes');
  expect(rules('two')).toEqual(['r22']);
  const broken = take({ ports: [{ ...port, fixed_ips: [{ ip_address: '10.0.0.300' }] }] });
  expect(broken).toMatchObject({ isolations: [{ id: 'old' }, { id: 'p', isKept: true }] });
  expect(followed.topology.ports.get('p')?.filtering).toBe('filtered');
  take({ security_groups: [group('one', rule('r80', 80, 80))] });
  const mended = take({ ports: [{ ...port, fixed_ips: [{ ip_address: '10.0.0.3' }] }] });
  expect(mended).toMatchObject({ isolations: [] });
  expect(followed.topology.ports.get('p')?.fixedIps.map(({ text }) => text)).toEqual(['10.0.0.3']);
});

it.each(['{', '[]', '{}', '{"revision":-1}', '{"revision":1,"ports":{}}', '{"revision":1,"ports":[{}]}'])(
  'no line: %s',
  (text) => {
    expect(() => parseFeedLine(text)).toThrow();
  },
);

describe('what the API tells', () => {
  async function busy(api: TestApi): Promise<void> {
    const network = await api.subnetted(MEMBER);
    const [web, db] = [await api.group('web', {}, MEMBER), await api.group('db', {}, MEMBER)];
    const addresses = await api.make('/address-groups', 'address_group', { addresses: ['192.0.2.0/24'] }, MEMBER);
    await api.rule(db, { protocol: 'tcp', port_range_min: 3306, port_range_max: 3306, remote_group_id: web }, MEMBER);
    await api.rule(db, { protocol: 'udp', remote_address_group_id: idOf(addresses) }, MEMBER);
    const ports = await Promise.all(
      [web, db, web].map(async (group) => api.port(network, { security_groups: [group] })),
    );
    await api.call('PUT', `/ports/${idOf(ports[0] ?? {})}`, {
      port: { security_groups: [], allowed_address_pairs: [{ ip_address: '10.0.0.99' }] },
    });
    await api.call('PUT', `/address-groups/${idOf(addresses)}/add_addresses`, { addresses: ['198.51.100.7'] });
    for (const port of ports) await api.call('DELETE', `/ports/${idOf(port)}`);
    await api.call('DELETE', `/security-groups/${web}`, undefined, MEMBER);
  }

  it('to an agent in its own process', async () => {
    const api = await TestApi.open();
    const [source, followed] = [new DatabaseSource(api.database, api.hosts), new Followed()];
    const kinds: string[] = [];
    source.start((event) => {
      kinds.push(event.kind);
      followed.take(event);
      expect(followed.content).toEqual(contentOf(topologyDocument(api.database.view)));
    }, inForce);
    await busy(api);
    source.stop();
    expect(new Set(kinds.slice(1))).toEqual(new Set(['changes']));
    expect(followed.problems).toEqual([]);
  });

  it('to an agent in its own process that throws: it is told everything anew, and whoever made the change is told nothing of it', async () => {
    const api = await TestApi.open();
    const [source, followed] = [new DatabaseSource(api.database, api.hosts), new Followed()];
    let faults = 0;
    let stale = 0;
    source.start((event) => {
      if (event.kind === 'stale') stale++;
      if (faults-- > 0) throw new Error('a defect');
      followed.take(event);
    }, inForce);
    // The change, what says that it is stale, and everything anew.
    faults = 3;
    const other: number[] = [];
    api.database.listen(({ revision }) => other.push(revision));
    await api.group('first', {}, MEMBER);
    await api.group('second', {}, MEMBER);
    expect(other).toHaveLength(2);
    await eventually(() => isDeepStrictEqual(followed.content, contentOf(topologyDocument(api.database.view))));
    expect([stale, faults < 0]).toEqual([2, true]);
    await api.group('third', {}, MEMBER);
    expect(followed.content).toEqual(contentOf(topologyDocument(api.database.view)));
    source.stop();
  });

  it('to a reader that comes again: what it missed, but not to one of another process of the API, whose store may be another', async () => {
    const api = await TestApi.open();
    const address = await api.app.listen({ host: '127.0.0.1', port: 0 });
    const first = async (query: string): Promise<Readonly<Record<string, unknown>>> => {
      const response = await fetch(`${address}/portcullis/v1/topology?watch=1${query}`);
      let text = '';
      for await (const chunk of response.body ?? []) {
        text += Buffer.from(chunk as Uint8Array).toString();
        if (text.includes('\n')) break;
      }
      const line = JSON.parse(text.slice(0, text.indexOf('\n'))) as Readonly<Record<string, unknown>>;
      return { ...line, session: response.headers.get('X-Portcullis-Session') };
    };
    const whole = await first('');
    expect(whole).toMatchObject({ reset: true, store: expect.stringMatching(/^[0-9a-f-]{36}$/) as unknown });
    const from = `&from=${String(whole['revision'])}`;
    await api.group('later', {}, MEMBER);
    expect(await first(`${from}&session=${String(whole['session'])}`)).not.toHaveProperty('reset');
    expect(await first(`${from}&session=another`)).toMatchObject({ reset: true, store: whole['store'] });
    expect(await first(from)).toMatchObject({ reset: true });
  });

  it('to an agent beside it, also when the connection breaks', async () => {
    const api = await TestApi.open();
    const address = await api.app.listen({ host: '127.0.0.1', port: 0 });
    const [source, followed] = [new ApiSource(address, undefined), new Followed()];
    const kinds: string[] = [];
    source.start((event) => {
      kinds.push(event.kind);
      followed.take(event);
    }, inForce);
    const settled = async (): Promise<void> => {
      await eventually(() => isDeepStrictEqual(followed.content, contentOf(topologyDocument(api.database.view))));
    };
    await busy(api);
    await settled();
    // All connections are cut; what is missed meanwhile is told afterwards, and not everything anew.
    api.app.server.closeAllConnections();
    await api.group('later', {}, MEMBER);
    await settled();
    expect(kinds.filter((kind) => kind === 'topology')).toHaveLength(1);
    expect(kinds).toContain('stale');
    // What was cut while nothing changed is well again all the same.
    api.app.server.closeAllConnections();
    await eventually(() => kinds.at(-1) === 'stale');
    await eventually(() => kinds.at(-1) === 'changes');
    source.reload();
    await eventually(() => kinds.filter((kind) => kind === 'topology').length === 2);
    source.stop();
  });
});
