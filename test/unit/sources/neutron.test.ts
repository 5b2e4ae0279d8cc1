/** What a real Neutron cannot be made to do to who follows it. All else: `npm run conformance -- --suite source`. */
import type { ServerResponse } from 'node:http';
import { expect, it, onTestFinished, vi } from 'vitest';
import { SourceGate } from '../../../agent/gate.js';
import { isOnHost } from '../../../compiler/model/index.js';
import type { Hint, HintGiver, HintListener } from '../../../src/sources/neutron/hints.js';
import { NeutronSource } from '../../../src/sources/neutron/index.js';
import { hintsOf } from '../../../src/sources/neutron/messages.js';
import type { SourceEvent } from '../../../compiler/model/index.js';
import { answer, StandIn, type Thing } from '../../support/neutron.js';
import { eventually } from '../../support/waiting.js';

const HOST = 'here';

function port(number: number, more: object = {}): Thing {
  const two = number.toString(16).padStart(2, '0');
  return {
    ...{ id: `${two}000000-0000-4000-8000-000000000000`, revision_number: 1, name: `port-${two}`, project_id: 'p' },
    ...{ network_id: 'net', mac_address: `fa:16:3e:00:00:${two}`, admin_state_up: true, device_owner: 'compute:nova' },
    ...{ security_groups: ['web'], fixed_ips: [{ subnet_id: 'sub', ip_address: `10.0.0.${number.toString()}` }] },
    ...{ allowed_address_pairs: [], port_security_enabled: true, 'binding:host_id': HOST, 'binding:profile': {} },
    ...more,
  };
}

function group(id: string, rules: readonly object[] = []): Thing {
  const ofGroup = { security_group_id: id, direction: 'ingress', ethertype: 'IPv4', protocol: 'tcp' };
  return {
    ...{ id, revision_number: 1, name: id, project_id: 'p', stateful: true },
    security_group_rules: rules.map((rule, index) => ({ id: `${id}-${index.toString()}`, ...ofGroup, ...rule })),
  };
}

/** Two ports here, one elsewhere whose group is named by a rule, and one elsewhere that is nobody's concern. */
async function neutron(): Promise<StandIn> {
  const standIn = await StandIn.open();
  standIn.things.networks.push({ id: 'net', name: 'net', project_id: 'p' });
  standIn.things.subnets.push({
    id: 'sub',
    name: '',
    project_id: 'p',
    network_id: 'net',
    cidr: '10.0.0.0/24',
    ip_version: 4,
  });
  standIn.things['security-groups'].push(
    group('web', [{ remote_group_id: 'remote' }]),
    group('remote'),
    group('other'),
  );
  const elsewhere = { 'binding:host_id': 'there' };
  standIn.things.ports.push(
    ...[port(1), port(2)],
    port(3, { ...elsewhere, security_groups: ['remote', 'other'] }),
    port(4, { ...elsewhere, security_groups: ['other'] }),
  );
  return standIn;
}

/** Gives the hints that a test gives. */
class Hints implements HintGiver {
  listener: HintListener | undefined;

  start(listener: HintListener): void {
    this.listener = listener;
    listener.up();
  }

  stop(): void {
    this.listener = undefined;
  }

  /** Whoever comes back to the broker compares everything. */
  compare(): void {
    this.listener?.up();
  }

  say(...hints: readonly Hint[]): void {
    this.listener?.hint(hints);
  }
}

/** What an agent makes of a source, as far as its gate. */
class Agent {
  readonly hints = new Hints();
  readonly gate = new SourceGate((one) => isOnHost(one, HOST), false);
  readonly events: SourceEvent[] = [];
  readonly source: NeutronSource;

  constructor(standIn: StandIn) {
    this.source = new NeutronSource({
      ...{ url: undefined, cloud: () => standIn.cloud, host: HOST, pollEvery: 1000, hints: this.hints },
    });
    this.source.start(
      (event) => {
        this.events.push(event);
        if (event.kind === 'topology') this.gate.whole(event.topology, event.doubt);
        if (event.kind === 'changes') this.gate.changes(event.changes);
      },
      () => this.gate.inForce,
    );
    onTestFinished(() => {
      this.source.stop();
    });
  }

  /** By the beginning of their ids: members have no names here. */
  get ports(): readonly string[] {
    return [...this.gate.inForce.ports.keys()].map((id) => `port-${id.slice(0, 2)}`).sort();
  }

  get stale(): readonly string[] {
    return this.events.flatMap(({ kind, problems }) =>
      kind === 'stale' ? problems.map(({ message }) => message) : [],
    );
  }

  async until(...ports: readonly string[]): Promise<void> {
    await eventually(() => this.ports.join() === ports.join() && this.events.at(-1)?.kind !== 'stale');
  }
}

async function following(): Promise<{ readonly standIn: StandIn; readonly agent: Agent }> {
  const standIn = await neutron();
  const agent = new Agent(standIn);
  await agent.until('port-01', 'port-02', 'port-03');
  return { standIn, agent };
}

const hint = (id: string): Hint => ({ kind: 'port', id, revision: undefined, hosts: [HOST], groups: ['web'] });

it('what concerns the host is read and nothing else, in pages of one, though their links lead elsewhere', async () => {
  const standIn = await neutron();
  standIn.pageSize = 1;
  const agent = new Agent(standIn);
  await agent.until('port-01', 'port-02', 'port-03');
  expect([...agent.gate.inForce.securityGroups.keys()].sort()).toEqual(['remote', 'web']);
  expect([agent.stale, standIn.refused]).toEqual([[], []]);
});

it.each([429, 503])('%i with Retry-After: so long it is left alone, and what was said stays', async (status) => {
  const { standIn, agent } = await following();
  let refusedAt = Infinity;
  standIn.faults.push((response) => {
    refusedAt = performance.now();
    response.setHeader('Retry-After', '2');
    answer(response, status, { error: 'later' });
  });
  standIn.things.ports.push(port(5));
  agent.hints.compare();
  await agent.until('port-01', 'port-02', 'port-03', 'port-05');
  expect(agent.stale).toEqual([expect.stringContaining(`answers ${status.toString()}`)]);
  const next = standIn.asked.find(({ at }) => at > refusedAt);
  expect((next?.at ?? 0) - refusedAt).toBeGreaterThanOrEqual(1990);
});

it('a token that ends is another login, and nobody is told', async () => {
  const { standIn, agent } = await following();
  standIn.ended.add(standIn.token);
  standIn.things.ports.push(port(5));
  agent.hints.say(hint(port(5).id));
  await agent.until('port-01', 'port-02', 'port-03', 'port-05');
  expect([standIn.logins, agent.stale]).toEqual([2, []]);
});

it.each<[string, StandIn['faults'][number]]>([
  [
    'an answer that is cut',
    (response) => {
      response.writeHead(200, { 'content-length': '1000' });
      response.write('{"ports": []');
      setTimeout(() => response.destroy(), 20);
    },
  ],
  ['half of an answer that says it is whole', (response) => response.end('{"ports": [')],
  ['an answer without the list', (response) => response.end('{}')],
  ['a list of something else', (response) => response.end('{"ports": [{"name": "x"}]}')],
  ['a page of a proxy', (response) => response.end('<html>welcome</html>')],
])('%s changes nothing, and is said', async (_what, fault) => {
  const { standIn, agent } = await following();
  standIn.faults.push(fault);
  agent.hints.compare();
  await eventually(() => agent.stale.length === 1);
  expect(agent.ports).toEqual(['port-01', 'port-02', 'port-03']);
  await agent.until('port-01', 'port-02', 'port-03');
});

it('a Neutron that has nothing any more empties no host; when it is itself again, it is obeyed again', async () => {
  const { standIn, agent } = await following();
  const kept = { ...standIn.things };
  for (const name of ['ports', 'networks', 'subnets', 'security-groups'] as const) standIn.things[name] = [];
  agent.hints.compare();
  await eventually(() => agent.gate.isHolding);
  expect(agent.ports).toEqual(['port-01', 'port-02', 'port-03']);
  Object.assign(standIn.things, kept);
  standIn.things.ports.push(port(5));
  agent.hints.compare();
  await eventually(() => !agent.gate.isHolding);
  await agent.until('port-01', 'port-02', 'port-03', 'port-05');
});

it('the last port of a host goes like any other: its network is still there', async () => {
  const { standIn, agent } = await following();
  standIn.things.ports = standIn.things.ports.filter((one) => one['binding:host_id'] !== HOST);
  agent.hints.compare();
  await agent.until();
  expect(agent.gate.isHolding).toBe(false);
  standIn.things.ports.push(port(5));
  agent.hints.say(hint(port(5).id));
  await agent.until('port-03', 'port-05');
});

it('who may not see where ports are is told so, since all hosts would look empty to him', async () => {
  const standIn = await neutron();
  standIn.things.ports.push(port(5, { 'binding:host_id': undefined }));
  standIn.faults.push((response) => {
    answer(response, 200, { ports: [{ ...port(1), 'binding:host_id': undefined }] });
  });
  const agent = new Agent(standIn);
  await eventually(() => agent.stale.some((line) => line.includes('the role admin')));
});

it('a port with an inactive binding here is on its way here', async () => {
  const { standIn, agent } = await following();
  // Neutron finds a port by any of its bindings, and shows the active one.
  standIn.things.ports.push(port(5, { 'binding:host_id': ['there', HOST] }));
  standIn.faults.push((response) => {
    answer(response, 200, { ports: [port(5, { 'binding:host_id': 'there' })] });
  });
  agent.hints.say(hint(port(5).id));
  await agent.until('port-01', 'port-02', 'port-03', 'port-05');
  const found = agent.gate.inForce.ports.get(port(5).id);
  expect([found?.host, found?.migratingTo]).toEqual(['there', HOST]);
});

it('one bad port costs nobody but itself', async () => {
  const { standIn, agent } = await following();
  standIn.things.ports.push(port(5, { mac_address: 'none' }), port(6));
  agent.hints.compare();
  await agent.until('port-01', 'port-02', 'port-03', 'port-05', 'port-06');
  const last = agent.events.findLast(({ kind }) => kind !== 'stale');
  expect(last?.kind === 'changes' && last.isolations).toMatchObject([{ kind: 'port' }]);
});

it('a hint of what is known already, or concerns others, asks nothing', async () => {
  const { standIn, agent } = await following();
  agent.hints.say(hint(port(1).id));
  await eventually(() => standIn.asked.some(({ path }) => path.includes(`id=${port(1).id}`)));
  const before = standIn.asked.length;
  agent.hints.say(
    { kind: 'port', id: port(2).id, revision: 1, hosts: [HOST], groups: ['web'] },
    { kind: 'port', id: port(4).id, revision: 2, hosts: ['there'], groups: ['other'] },
    { kind: 'group', id: 'other', revision: 2 },
    { kind: 'rule', id: 'unknown', group: undefined },
    { kind: 'address group', id: 'unknown' },
  );
  agent.hints.say({ kind: 'rule', id: 'web-0', group: undefined });
  await eventually(() => standIn.asked.slice(before).some(({ path }) => path.includes('security-groups?id=web')));
  const paths = standIn.asked.slice(before).map(({ path }) => path);
  const others = paths.filter((path) => !path.includes(port(1).id) && !path.includes('security-groups?id=web'));
  expect(others).toEqual([]);
});

it('a port that came to this host after its ports were read, and was read as a member since, is not missed', async () => {
  const standIn = await neutron();
  const agent = new Agent(standIn);
  // The host's own ports are read first. Then the port comes here, and what was pushed of it is heard before its group's ports are read.
  const later = port(3, { revision_number: 2, security_groups: ['remote'] });
  standIn.onAsked = (path) => {
    if (!path.includes('/security-groups?') || standIn.things.ports.includes(later)) return;
    standIn.things.ports[2] = later;
    agent.hints.say({ kind: 'port', id: later.id, revision: 2, hosts: [HOST], groups: ['remote'] });
  };
  await agent.until('port-01', 'port-02', 'port-03');
  await eventually(() => agent.gate.inForce.ports.get(later.id)?.host === HOST);
  await eventually(() => agent.gate.inForce.ports.get(later.id)?.name === 'port-03');
});

it.each(['elsewhere', ''])('a port with a binding here is on its way here, though it says "%s"', async (migrating) => {
  const { standIn, agent } = await following();
  // What a migration that was given up left behind.
  const shown = { 'binding:host_id': 'there', 'binding:profile': { migrating_to: migrating } };
  standIn.things.ports.push(port(5, { ...shown, 'binding:host_id': ['there', HOST] }));
  standIn.faults.push((response) => {
    answer(response, 200, { ports: [port(5, shown)] });
  });
  agent.hints.say(hint(port(5).id));
  await agent.until('port-01', 'port-02', 'port-03', 'port-05');
  expect(agent.gate.inForce.ports.get(port(5).id)).toMatchObject({ host: 'there', migratingTo: HOST });
});

it('a port that has no active binding, so that Neutron shows no host of it, costs nobody but itself', async () => {
  const { standIn, agent } = await following();
  standIn.things.ports[2] = port(3, { revision_number: 2, 'binding:host_id': undefined, security_groups: ['remote'] });
  agent.hints.say({ kind: 'port', id: port(3).id, revision: 2, hosts: [], groups: ['remote'] });
  await eventually(() => agent.gate.inForce.ports.get(port(3).id)?.host === undefined);
  standIn.things.ports.push(port(5));
  agent.hints.compare();
  await agent.until('port-01', 'port-02', 'port-03', 'port-05');
  expect(agent.stale).toEqual([]);
});

it('a Neutron that answers with errors is asked less and less, since that is work for it', async () => {
  const random = vi.spyOn(Math, 'random').mockReturnValue(0);
  onTestFinished(() => {
    random.mockRestore();
  });
  const standIn = await neutron();
  standIn.faults.push(
    ...Array.from({ length: 5 }, () => (response: ServerResponse) => {
      answer(response, 500, { error: 'no' });
    }),
  );
  const agent = new Agent(standIn);
  await agent.until('port-01', 'port-02', 'port-03');
  const times = standIn.asked.map(({ at }) => at);
  expect((times[4] ?? 0) - (times[3] ?? 0)).toBeGreaterThanOrEqual(990);
});

it.each([
  ['an empty id', ''],
  ['an id that is longer than any address may be', 'x'.repeat(20_000)],
])('a forged message with %s: nothing is asked, and nobody is told', async (_what, id) => {
  const { standIn, agent } = await following();
  const before = standIn.asked.length;
  const message = { event_type: 'port.update.end', payload: { port: { id, 'binding:host_id': HOST } } };
  agent.hints.say(...hintsOf(JSON.stringify({ 'oslo.message': JSON.stringify(message) })), hint(port(1).id));
  await eventually(() => standIn.asked.slice(before).some(({ path }) => path.includes(port(1).id)));
  const paths = standIn.asked.slice(before).map(({ path }) => path);
  expect(paths.filter((path) => !path.startsWith(`/v2.0/ports?id=${port(1).id}&`))).toEqual([]);
  expect(agent.stale).toEqual([]);
});

it('a message that names thousands of ports that are not there keeps nobody from what is', async () => {
  const { standIn, agent } = await following();
  const before = standIn.asked.length;
  standIn.things.ports.push(port(5));
  agent.hints.say(...Array.from({ length: 5000 }, (_, index) => hint(`forged-${index.toString()}`)), hint(port(5).id));
  await agent.until('port-01', 'port-02', 'port-03', 'port-05');
  expect(standIn.asked.length - before).toBeLessThan(20);
});

it('a group that is gone is not the one that somebody named by its id', async () => {
  const standIn = await neutron();
  const id = '5eb1d0a2-8c1e-4b7e-9d55-6f0f3a6c2b11';
  // Ports are read before groups: in between the port lost the group, and that was deleted.
  standIn.things['security-groups'].push({ ...group('evil', [{}]), name: id });
  standIn.things.ports.push(port(5, { security_groups: [id] }), port(6, { security_groups: ['evil'] }));
  const agent = new Agent(standIn);
  await agent.until('port-01', 'port-02', 'port-03', 'port-05', 'port-06');
  const groupsOf = (number: number): readonly string[] | undefined =>
    agent.gate.inForce.ports.get(port(number).id)?.securityGroupIds;
  expect([groupsOf(5), groupsOf(6)]).toEqual([[], ['evil']]);
});
