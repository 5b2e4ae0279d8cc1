/** The worked example across two hosts: containers of our image with systemd, each with its own agent. */
import { GenericContainer, Network, Wait, type StartedNetwork } from 'testcontainers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { reachability } from '../../compiler/explain/index.js';
import { DEFAULT_OPTIONS } from '../../compiler/index.js';
import { FAMILIES, parseTopology, type Port, type Topology } from '../../compiler/model/index.js';
import { patience } from '../support/patience.js';
import { until } from '../support/waiting.js';
import { TestHost } from './lab/host.js';

const SERVICES = [22, 80, 443, 3306];
const TOPOLOGY = '/etc/portcullis/topology.json';

interface Document {
  readonly ports: readonly Readonly<Record<string, unknown>>[];
  readonly [key: string]: unknown;
}

/** The example's ports, every second one on the other host. */
function example(more: Document['ports'] = []): Document {
  const document = parse(readFileSync('examples/web-and-database.yaml', 'utf8')) as Document;
  const spread = document.ports.map((port, index) => ({
    ...port,
    'binding:host_id': `compute-${(1 + (index % 2)).toString()}`,
  }));
  return { ...document, ports: [...spread, ...more] };
}

const FOURTH = {
  id: 'a1000004-4000-4000-8000-000000000001',
  name: 'web-4',
  network_id: '5b6f3a52-0a7e-4a0e-9d4b-7f6f2f8e0c01',
  mac_address: 'fa:16:3e:00:00:0e',
  fixed_ips: [{ ip_address: '10.0.0.14' }, { ip_address: 'fd00:0:0:1::14' }],
  security_groups: ['web'],
  'binding:host_id': 'compute-2',
};

function topologyOf(content: Document): Topology {
  const { topology, problems } = parseTopology([{ file: 'example', content }]);
  expect(problems.filter(({ severity }) => severity === 'error')).toEqual([]);
  return topology;
}

let image: string;
let network: StartedNetwork | undefined;
const hosts: TestHost[] = [];

beforeAll(async () => {
  const base = process.env['PORTCULLIS_BASE_IMAGE'];
  if (base === undefined) throw new Error('PORTCULLIS_BASE_IMAGE is not set: run `npm test -- --tier container`');
  await GenericContainer.fromDockerfile('.')
    .withBuildArgs({ BUILD_IMAGE: base, BASE_IMAGE: base })
    .build('portcullis-test', { deleteOnExit: false });
  image = 'portcullis-test';
  const own = await new Network().start();
  network = own;
  const started = await Promise.allSettled([1, 2].map(async (number) => TestHost.start(image, own, number, SERVICES)));
  for (const one of started) if (one.status === 'fulfilled') hosts.push(one.value);
  for (const one of started) if (one.status === 'rejected') throw one.reason;
}, 0);

afterAll(async () => {
  await Promise.allSettled(hosts.map(async (host) => host.stop()));
  await network?.stop();
}, 0);

function hostOf(port: Port): TestHost {
  const host = hosts.find(({ name }) => name === port.host);
  if (host === undefined) throw new Error(`no host ${port.host}`);
  return host;
}

async function plug(port: Port): Promise<void> {
  const own = hostOf(port);
  await own.plug(port);
  for (const host of hosts) if (host !== own) await host.routeTo(port, own);
}

async function publish(document: Document): Promise<void> {
  for (const host of hosts) await host.write(TOPOLOGY, JSON.stringify(document));
}

/** Who reaches whom, by really connecting: `from to family service`. All at once. */
async function reached(topology: Topology): Promise<readonly string[]> {
  const ports = [...topology.ports.values()];
  const attempts = ports.flatMap((from) =>
    ports
      .filter((to) => to !== from)
      .flatMap((to) =>
        FAMILIES.flatMap((family) =>
          SERVICES.map((port) => ({
            from,
            line: [from.name, to.name, family, port].join(' '),
            target: { address: to.fixedIps.find((address) => address.family === family)?.text ?? '', port },
          })),
        ),
      ),
  );
  const results = await Promise.all(
    hosts.map(async (host) => {
      const own = attempts.filter(({ from }) => from.host === host.name);
      const answers = await host.connect(own.map(({ from, target }) => ({ id: from.id, target })));
      return own.filter((_attempt, index) => answers[index] === true).map(({ line }) => line);
    }),
  );
  return results.flat().sort();
}

/**
 * Waits until what policy says is what connects. Only for what is allowed there is something to wait for (a busy machine, a neighbour
 * that is looked up): what is not allowed must not connect once.
 */
async function untilReached(topology: Topology): Promise<readonly string[]> {
  const policy = policyOf(topology);
  return until({
    what: 'what policy allows to connect',
    probe: async () => {
      const real = await reached(topology);
      const forbidden = real.filter((line) => !policy.includes(line));
      if (forbidden.length > 0) throw new Error(`connected against the policy:\n${forbidden.join('\n')}\n${said()}`);
      return real;
    },
    check: (real) => expect(real).toEqual(policy),
    said,
  });
}

/** What the hosts' agents said last. */
function said(): string {
  return hosts.map((host) => `${host.name}:\n${host.said()}`).join('\n');
}

function policyOf(topology: Topology): readonly string[] {
  const context = { topology, widestPairLength: DEFAULT_OPTIONS.widestPairLength };
  const ports = [...topology.ports.values()];
  return ports
    .flatMap((from) =>
      ports
        .filter((to) => to !== from)
        .flatMap((to) =>
          FAMILIES.flatMap((family) =>
            SERVICES.filter((service) => reachability(context, from, to, 6, service, family)).map((service) =>
              [from.name, to.name, family, service].join(' '),
            ),
          ),
        ),
    )
    .sort();
}

async function onEach(command: string): Promise<readonly string[]> {
  return Promise.all(hosts.map(async (host) => host.run(command)));
}

/** Waits until each host's agent says that what was published is enforced, and healthy. */
async function untilEnforced(topology: Topology): Promise<void> {
  for (const host of hosts) {
    const own = [...topology.ports.values()].filter((port) => port.host === host.name);
    await until({
      what: `the agent on ${host.name} to enforce ${own.length} ports`,
      probe: async () =>
        host.run(
          `portcullis status --health || true; portcullis status --json | grep -c '"state": "enforced"' || true`,
        ),
      check: (answer) => expect(answer).toMatch(new RegExp(`^enforced\n${own.length}\n$`)),
      said,
    });
  }
}

// No limit to the whole: each wait has its own.
describe('two hosts', () => {
  const before = topologyOf(example());
  const after = topologyOf(example([FOURTH]));

  it('the baseline closes what is plugged before the agent is there', async () => {
    await onEach('systemctl start portcullis-baseline');
    for (const port of before.ports.values()) await plug(port);
    expect(await reached(before)).toEqual([]);
  });

  it('started by systemctl, which waits for the rules, the agents enforce the example', async () => {
    await publish(example());
    await onEach('systemctl start portcullis-agent');
    expect(await onEach('portcullis status --health')).toEqual(['enforced\n', 'enforced\n']);
    const real = await untilReached(before);
    expect(real.some((line) => line.startsWith('web-1 database-'))).toBe(true);
  });

  it('a port that appears on one host is a member on the other', async () => {
    await plug([...after.ports.values()].find(({ name }) => name === 'web-4') ?? fail('no web-4'));
    await publish(example([FOURTH]));
    await untilEnforced(after);
    await untilReached(after);
  });

  it('killed, the agent comes again by itself, and the rules stay', async () => {
    // Without what packets write.
    const digest = `nft --stateless list table inet portcullis | sed '/set dropped_/,/^\t}/d' | sha256sum`;
    const rules = await onEach(digest);
    await onEach('systemctl kill --kill-who=all -s KILL portcullis-agent');
    expect(await onEach(digest)).toEqual(rules);
    await untilReached(after);
    await untilEnforced(after);
    expect(await onEach(digest)).toEqual(rules);
    const [restarts = ''] = await onEach('systemctl show portcullis-agent -p NRestarts --value');
    expect(Number(restarts)).toBeGreaterThan(0);
  });

  it('reload reads again, stop leaves the rules', async () => {
    await onEach('systemctl reload portcullis-agent');
    await onEach('systemctl stop portcullis-agent');
    await untilReached(after);
    await publish(example());
    await onEach('systemctl start portcullis-agent');
    await untilEnforced(before);
    // The fourth one is plugged, and known no more.
    expect((await reached(after)).filter((line) => line.includes('web-4'))).toEqual([]);
  });

  it('runs with the capability to change the firewall and no other', async () => {
    const [status = ''] = await onEach(
      'grep -E "CapEff|NoNewPrivs|Seccomp:" /proc/$(systemctl show -p MainPID --value portcullis-agent)/status',
    );
    expect(status.replaceAll(/\s+/g, ' ').trim()).toBe('CapEff: 0000000000001000 NoNewPrivs: 1 Seccomp: 2');
    const [score = ''] = await onEach('systemd-analyze security --no-pager portcullis-agent | tail -1');
    process.stdout.write(score);
    expect(Number(/: ([\d.]+)/.exec(score)?.[1])).toBeLessThan(3);
  });
});

describe('the image by itself', () => {
  it('is healthy on a host that it shares the network of, read-only, with one capability', async () => {
    const [host] = hosts;
    if (host === undefined) throw new Error('no host');
    await host.run('systemctl stop portcullis-agent');
    const agent = await new GenericContainer(image)
      .withNetworkMode(`container:${host.container.getId()}`)
      .withDroppedCapabilities('ALL')
      .withAddedCapabilities('NET_ADMIN')
      .withSecurityOpt('no-new-privileges')
      .withTmpFs({ '/run/portcullis': 'mode=0755' })
      .withCopyContentToContainer([{ content: JSON.stringify(example()), target: '/etc/portcullis/topology.json' }])
      .withCommand(['agent', '--source', `file:${TOPOLOGY}`, '--host', 'compute-1'])
      .withHealthCheck({
        test: ['CMD', 'portcullis', 'status', '--health'],
        interval: 1000,
        timeout: patience(30_000),
        retries: 100,
        startPeriod: 0,
      })
      .withWaitStrategy(Wait.forHealthCheck())
      .withStartupTimeout(patience(300_000))
      .start();
    try {
      const { output } = await agent.exec(['portcullis', 'status']);
      expect(output).toMatch(/^enforced/);
    } finally {
      await agent.stop();
    }
    await host.run('systemctl start portcullis-agent');
  });

  it('serves the API as a user who may do nothing else, and says what it is', async () => {
    const api = await new GenericContainer(image)
      .withUser('portcullis')
      .withDroppedCapabilities('ALL')
      .withSecurityOpt('no-new-privileges')
      .withCommand(['api', '--store', '/var/lib/portcullis/store'])
      .withWaitStrategy(Wait.forLogMessage(/the API listens/))
      .withStartupTimeout(patience(300_000))
      .start();
    try {
      const answers = await api.exec([
        'sh',
        '-c',
        'id -un && curl -sS --fail http://127.0.0.1:9696/health > /dev/null',
      ]);
      expect([answers.exitCode, answers.output]).toEqual([0, 'portcullis\n']);
    } finally {
      await api.stop();
    }
    const labels = execFileSync('docker', ['inspect', '--format', '{{json .Config.Labels}}', image], {
      encoding: 'utf8',
    });
    expect(JSON.parse(labels)).toMatchObject({
      'org.opencontainers.image.title': 'Portcullis',
      'org.opencontainers.image.licenses': 'Apache-2.0',
    });
  });
});

function fail(why: string): never {
  throw new Error(why);
}
