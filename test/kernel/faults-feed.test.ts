/** An API that serves another store than before, or an older one, opens nothing: the agent is told, and obeys what it had. */
import { spawn, type ChildProcess } from 'node:child_process';
import { cpSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { atExit } from '../support/at-exit.js';
import { eventually } from '../support/waiting.js';
import { Lab } from './lab/lab.js';
import { HOST, ipFrame, ports, reachIn } from './lab/pair.js';
import { TestAgent } from './lab/test-agent.js';

const MAIN = 'dist/bin/portcullis.js';
const URL = 'http://127.0.0.1:9696';

const uuid = (number: number): string => `${number.toString().padStart(8, '0')}-1111-4111-8111-111111111111`;
const end = (number: number): { id: string; device: string; mac: string; v4: string } => ({
  id: uuid(number),
  device: `tap${uuid(number).slice(0, 11)}`,
  mac: `fa:16:3e:00:00:0${number.toString()}`,
  v4: `10.0.0.${number.toString()}`,
});
const CLIENT = end(1);
const SERVER = end(2);
const PROJECT = { project_id: '8ea9e93328d2476bb46ff0ff81a9d1da' };
const [NETWORK, SUBNET, CLIENTS, SERVERS] = [uuid(11), uuid(12), uuid(13), uuid(14)];

const rule = (number: number, port: number): object => ({
  ...{ id: uuid(number), direction: 'ingress', ethertype: 'IPv4', protocol: 'udp' },
  ...{ port_range_min: port, port_range_max: port },
});
const port = ({ id, mac, v4 }: typeof CLIENT, group: string): object => ({
  ...PROJECT,
  id,
  network_id: NETWORK,
  mac_address: mac,
  fixed_ips: [{ ip_address: v4, subnet_id: SUBNET }],
  security_groups: [group],
  'binding:host_id': HOST,
});
/** The server may be reached at these ports. */
const topology = (...open: readonly number[]): object => ({
  networks: [{ ...PROJECT, id: NETWORK }],
  subnets: [{ ...PROJECT, id: SUBNET, network_id: NETWORK, ip_version: 4, cidr: '10.0.0.0/24' }],
  security_groups: [
    {
      ...{ ...PROJECT, id: CLIENTS, name: 'clients' },
      security_group_rules: [{ id: uuid(20), direction: 'egress', ethertype: 'IPv4' }],
    },
    {
      ...{ ...PROJECT, id: SERVERS, name: 'servers' },
      security_group_rules: open.map((number, index) => rule(30 + index, number)),
    },
  ],
  ports: [port(CLIENT, CLIENTS), port(SERVER, SERVERS)],
});

let lab: Lab;
let agent: TestAgent;
let api: ChildProcess | undefined;
let store: string;
beforeAll(async () => {
  lab = await Lab.create([CLIENT, SERVER].map(({ device, v4, mac }) => ({ device, addresses: [v4], mac })));
  await lab.must('ip', ['link', 'set', 'lo', 'up']);
});
afterAll(async () => {
  await lab.destroy();
});
beforeEach(async () => {
  await lab.renew();
  agent = new TestAgent(lab.host);
  store = join(agent.folder, 'store');
});
afterEach(async () => {
  await endApi();
  await agent.destroy();
});

async function startApi(): Promise<void> {
  const args = ['netns', 'exec', lab.host, process.execPath, MAIN, 'api', '--store', store];
  const child = spawn('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  const forget = atExit(() => child.kill('SIGKILL'));
  child.once('exit', forget);
  api = child;
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
  await eventually(() => {
    if (child.exitCode !== null) throw new Error(`the API ended: ${said}`);
    return said.includes('"address"');
  });
}

async function endApi(): Promise<void> {
  const child = api;
  api = undefined;
  if (child === undefined) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await ended;
}

/** Makes a new store in a folder. */
async function makeStore(path: string, content: object): Promise<void> {
  const file = join(agent.folder, 'import.json');
  writeFileSync(file, JSON.stringify(content));
  await lab.must(process.execPath, [MAIN, 'import', '--store', path, '-t', file]);
}

async function deleteRule(number: number): Promise<void> {
  const script = `fetch("${URL}/v2.0/security-group-rules/${uuid(number)}", { method: 'DELETE' }).then(({ status }) => process.exit(status === 204 ? 0 : 1))`;
  await lab.must(process.execPath, ['-e', script]);
}

const shot = (number: number): Parameters<Lab['reach']>[0][number] => ({
  device: CLIENT.device,
  frame: ipFrame(CLIENT.mac, CLIENT.v4, SERVER.v4, ports(17, 30_000, number)),
});
/** Of these ports those that are open. */
async function openPorts(): Promise<readonly number[]> {
  const all = [53, 54, 55];
  const reached = await reachIn(lab, ...all.map(shot));
  return all.filter((_, index) => reached[index]?.includes(SERVER.device));
}

const follow = { args: ['--source', `api:${URL}`] };
/** What `status` says of the source is one line, and the rules are what they were. */
async function isHeld(reason: string, open: readonly number[]): Promise<void> {
  const { source, enforced } = await agent.until(
    ({ source: { isHeld: held, problems } }) => held && problems.join().includes(reason),
  );
  expect([enforced, source.staleSince !== undefined]).toEqual([true, true]);
  expect(await openPorts()).toEqual(open);
}

async function accept(): Promise<void> {
  await lab.must(process.execPath, [MAIN, 'accept', '--socket', agent.socket]);
  await agent.until(({ source, settled }) => !source.isHeld && source.staleSince === undefined && settled);
}

it('another store in place of the one that was followed', async () => {
  await makeStore(store, topology(53));
  await startApi();
  await agent.run(follow);
  expect(await openPorts()).toEqual([53]);

  await endApi();
  renameSync(store, `${store}-before`);
  await makeStore(store, topology(53, 54, 55));
  await startApi();
  await isHeld('another store', [53]);
  // Nor what it tells from now on, and coming again does not make it better.
  await deleteRule(32);
  await endApi();
  await startApi();
  await isHeld('another store', [53]);

  // The one that was followed is well without anybody's word.
  await endApi();
  rmSync(store, { recursive: true });
  renameSync(`${store}-before`, store);
  await startApi();
  await agent.until(({ source, settled }) => !source.isHeld && source.staleSince === undefined && settled);
  expect(await openPorts()).toEqual([53]);
});

it('another store that is meant', async () => {
  await makeStore(store, topology(53));
  await startApi();
  await agent.run(follow);
  await endApi();
  rmSync(store, { recursive: true });
  await makeStore(store, topology(54));
  await startApi();
  await isHeld('another store', [53]);
  await accept();
  expect(await openPorts()).toEqual([54]);
});

it('the same store as it was once: what was closed since stays closed', async () => {
  await makeStore(store, topology(53, 54));
  const backup = `${store}-backup`;
  cpSync(store, backup, { recursive: true });
  await startApi();
  await agent.run(follow);
  expect(await openPorts()).toEqual([53, 54]);
  await deleteRule(31);
  await agent.until(({ settled, lastTransaction }) => settled && lastTransaction?.way === 'changes');
  expect(await openPorts()).toEqual([53]);

  await endApi();
  rmSync(store, { recursive: true });
  renameSync(backup, store);
  await startApi();
  await isHeld('older', [53]);
  await accept();
  expect(await openPorts()).toEqual([53, 54]);
});
