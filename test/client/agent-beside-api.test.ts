/** API and agent as two processes, the client's program as a person types it, and what Prometheus and Grafana make of both. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { alertRules, Promtool, samplesOf, type Course, type Event } from '../support/alerts.js';
import { Cloud, HOST, NOBODY, URL } from './cloud.js';

let cloud: Cloud;
beforeAll(async () => {
  cloud = new Cloud();
  await cloud.startApart();
}, 0);
afterAll(async () => cloud.end(), 0);

it('what was changed is waited for; a host that does not have it is named', async () => {
  const wait = async (...args: readonly string[]): Promise<unknown> => {
    const { exit, err } = await cloud.portcullisEnds('wait', '--api', URL, ...args);
    return [exit, err];
  };
  const change = async (name: string): Promise<void> => {
    const made = await cloud.typed(`openstack security group create ${name}`, NOBODY);
    expect([made.exit, made.err]).toEqual([0, '']);
  };
  await change('first');
  expect(await wait('--latest')).toEqual([0, expect.stringMatching(/^revision \d+ is in force on 1 host$/)]);
  const { out } = await cloud.portcullisEnds('hosts', '--api', URL, '--json');
  const { revision, hosts } = JSON.parse(out) as { readonly revision: number; readonly hosts: readonly object[] };
  expect(hosts).toMatchObject([
    { host: HOST, revision, alive: true, enforced: true, trouble: null, behind_seconds: null },
  ]);
  expect(await wait('--revision', String(revision + 1))).toEqual([1, expect.stringContaining('was not made yet')]);
  cloud.stopAgent();
  try {
    await change('second');
    expect(await wait('--revision', String(revision), '--timeout', '0')).toEqual([0, expect.anything()]);
    // On a slow machine it has been silent for so long that it is not asked any more: nothing is claimed of it all the same.
    const names = new RegExp(`^(${HOST}: it has revision ${revision}|no host reports.*)$`, 'm');
    expect(await wait('--latest', '--timeout', '1')).toEqual([2, expect.stringMatching(names)]);
    const { exit, out: line } = await cloud.portcullisEnds('hosts', '--api', URL);
    const state = new RegExp(`^${HOST}  (behind|silent)  revision ${revision} `);
    expect([exit, line]).toEqual([2, expect.stringMatching(state)]);
  } finally {
    cloud.agentGoesOn();
  }
  const waited = await cloud.portcullisEnds('wait', '--api', URL, '--latest', '--json');
  expect([waited.exit, JSON.parse(waited.out)]).toEqual([
    0,
    { revision: expect.any(Number) as number, inForce: true, hosts: 1, missing: [], silent: [] },
  ]);
  expect((await cloud.portcullisEnds('hosts', '--api', URL)).out).toMatch(/^compute-1 {2}in force {2}/);
});

const FOR_GOOD = 111;
const then = (before: number, after: number): Course => [
  [before, 10],
  [after, FOR_GOOD],
];

/** What happens on a host, and the alert that says so. */
const EVENTS: readonly Event[] = (
  [
    ['PortcullisAgentDown', { up: then(1, 0) }, 13],
    ['PortcullisNotEnforced', { portcullis_enforced: then(1, 0) }, 12],
    ['PortcullisLate', { portcullis_late_seconds: then(0, 61) }, 10],
    ['PortcullisNobodyWatches', { portcullis_watching_away_seconds: then(0, 61) }, 10],
    ['PortcullisSourceStale', { portcullis_source_stale_seconds: then(300, 301) }, 10],
    ['PortcullisDevicesNotFiltered', { portcullis_devices_not_filtered: then(0, 1) }, 10],
    [
      'PortcullisNoDevices',
      { 'portcullis_ports{state="enforced"}': then(0, 2), portcullis_ports_absent: then(0, 2) },
      16,
    ],
    ['PortcullisObjectsIsolated', { portcullis_objects_isolated: then(0, 1) }, 10],
    ['PortcullisPortsRefused', { portcullis_ports_refused: then(0, 1) }, 10],
    // The first event alerts: the series was there before it.
    ['PortcullisForeignChange', { 'portcullis_drift_total{kind="foreign"}': then(0, 1) }, 10],
    ['PortcullisDriftFound', { 'portcullis_drift_total{kind="found"}': then(0, 1) }, 10],
    ['PortcullisTransactionsFail', { portcullis_transaction_failures_total: then(0, 5) }, 12],
    ['PortcullisAudit', { portcullis_audit: then(0, 1) }, 71],
    [
      'PortcullisManyDrops',
      {
        'portcullis_dropped_packets_total{direction="ingress"}': [
          [0, 10],
          [0, FOR_GOOD, 12_000],
        ],
      },
      40,
    ],
    ['PortcullisBusy', { nodejs_eventloop_utilization: then(0.1, 1) }, 16],
    ['PortcullisApiDown', { up: then(1, 0) }, 13],
    ['PortcullisApiStoreNotWritable', { portcullis_api_store_writable: then(1, 0) }, 12],
    ['PortcullisApiStoreNotReadable', { portcullis_api_store_readable: then(1, 0) }, 10],
    ['PortcullisApiFollowerBehind', { portcullis_api_follower_lag_revisions: then(100, 101) }, 16],
    ['PortcullisApiDefect', { 'portcullis_api_answers_total{code="500"}': then(0, 1) }, 10],
  ] as const
).map(([alert, series, firesAt]) => ({
  alert,
  series,
  firesAt,
  quietAt: 9,
  job: alert.startsWith('PortcullisApi') ? 'portcullis-api' : 'portcullis-agent',
}));

it('no alert fires of what a host that is well says, each does with the first event, and the dashboard asks for what there is', async () => {
  expect(EVENTS.map(({ alert }) => alert)).toEqual(alertRules().map(({ alert }) => alert));
  await cloud.says('the agent to enforce', /^enforced/);
  const agent = samplesOf(await cloud.agentMetrics());
  // How busy it was says something of this machine.
  const idle = agent.map((sample) =>
    sample.name === 'nodejs_eventloop_utilization' ? { ...sample, value: '0.1' } : sample,
  );
  const scrapes = { 'portcullis-agent': idle, 'portcullis-api': samplesOf(await cloud.apiMetrics()) };
  const promtool = new Promtool();
  onTestFinished(() => {
    promtool.end();
  });
  expect(await promtool.check()).toBe('');
  expect(await promtool.test(scrapes, EVENTS)).toBe('');
  const there = new Set(Object.values(scrapes).flatMap((samples) => samples.map(({ name }) => name)));
  const dashboard = readFileSync('grafana/portcullis.json', 'utf8');
  const asked = new Set(dashboard.match(/\b(?:portcullis|nodejs|process)_[a-z_]+/g));
  expect(asked.size).toBeGreaterThan(20);
  expect([...asked].filter((name) => !there.has(name))).toEqual([]);
});

it('an agent beside the API follows it, stays as it is while it is gone, and goes on when it is back', async () => {
  await cloud.succeeds('openstack network create net');
  await cloud.succeeds(`openstack port create --network net --host ${HOST} p1`);
  await cloud.says('the first port to be enforced', /absent +enforced +p1/, /source api:.*, revision \d+ in force/);
  await cloud.killApi();
  expect(await cloud.says('the agent to say that its source is gone', /STALE/)).toMatch(/^enforced/);
  await cloud.startApi();
  await cloud.succeeds(`openstack port create --network net --host ${HOST} p2`);
  await cloud.says('the second port to be enforced, by an agent that is not stale', /enforced +p2/, /^(?!.*STALE)/s);
  const explained = async (port: string): Promise<string> => {
    const ends = ['--from', 'any', '--to', port, '--protocol', 'any'];
    return (await cloud.portcullisEnds('explain', '--api', URL, ...ends)).err;
  };
  // The network has no subnet.
  expect(await explained('p2')).toBe('error: --from and --to have no address of one family');
  expect(await explained('p3')).toMatch(/^error: --to: "p3" is no port .*: did you mean p[12]\?$/);
});

it('what is in force of another store is not said to be in force of the one that is there now', async () => {
  const wait = async (...args: readonly string[]): Promise<unknown> => {
    const { exit, err } = await cloud.portcullisEnds('wait', '--api', URL, '--latest', ...args);
    return [exit, err];
  };
  await cloud.succeeds('openstack network create doubted');
  await cloud.succeeds(`openstack port create --network doubted --host ${HOST} doubted`);
  expect(await wait()).toEqual([0, expect.stringContaining('is in force on 1 host')]);
  await cloud.killApi();
  await cloud.startApi(join(cloud.folder, 'another-store'));
  await cloud.succeeds('openstack security group create of-the-other-store');
  await cloud.until({
    what: 'the host to be named, and why',
    probe: async () => wait('--timeout', '0'),
    check: (answer) => {
      expect(answer).toEqual([2, expect.stringMatching(/compute-1: .*it is told from another store/)]);
    },
  });
});
