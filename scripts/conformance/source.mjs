// The Neutron source beside a real Neutron, Keystone and RabbitMQ: fifty ports on three hosts, changes of every kind, parts that die and come back.
// After each change, what each host compiles of what it was told is compared with what it compiles of a fresh dump of everything.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { pathToFileURL, URL } from 'node:url';
import { setTimeout as wait } from 'node:timers/promises';
import { PYTHON } from './debian.mjs';
import { cloud, Neutron, neutronObstacle, startNeutron } from './neutron.mjs';
import { start } from './processes.mjs';
import { Rabbit, rabbitObstacle } from './rabbit.mjs';

const SUITE = 'source beside Neutron';
const HOSTS = ['host-1', 'host-2', 'host-3'];
const PORTS = 50;
/** One of each kind. */
const CHANGES = 13;
/** Milliseconds that the product promises where a broker tells of changes. */
const PROMISED = 2000;
/** A comparison of everything comes once a minute; what is not told by then is not told. In milliseconds. */
const PATIENCE = 180_000 * Number(process.env.PORTCULLIS_SLOWNESS ?? 1);
/** Of tokens, in seconds: the suite lives through several. */
const LIFETIME = 40;

/** @returns the suite's row of the table */
export async function source({ root }) {
  const reason = neutronObstacle() ?? rabbitObstacle();
  if (reason !== undefined) return { suite: SUITE, passed: 0, failed: 0, skipped: 0, why: `not run: ${reason}` };
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-source-'));
  const daemons = [];
  try {
    return await new Proof(root, folder, daemons).run();
  } catch (error) {
    mkdirSync(join(folder, 'neutron'), { recursive: true });
    const log = readFileSync(join(folder, 'neutron', 'neutron.log'), { encoding: 'utf8', flag: 'a+' });
    process.stdout.write(
      log
        .split('\n')
        .filter((line) => / ERROR /.test(line))
        .slice(-15)
        .join('\n') + '\n',
    );
    throw error;
  } finally {
    for (const daemon of daemons.reverse()) await daemon.end();
    rmSync(folder, { recursive: true, force: true });
  }
}

class Proof {
  passed = 0;
  failed = 0;
  followers = [];
  latencies = [];

  constructor(root, folder, daemons) {
    Object.assign(this, { root, folder, daemons });
  }

  check(what, why) {
    if (why === '') this.passed++;
    else this.failed++;
    process.stdout.write(`${why === '' ? 'passed' : 'failed'}  ${what}${why === '' ? '' : `: ${why}`}\n`);
  }

  async run() {
    const load = async (...path) => import(pathToFileURL(join(this.root, 'dist', ...path)).href);
    this.modules = {
      ...(await load('compiler', 'index.js')),
      ...(await load('src', 'model', 'index.js')),
      ...(await load('src', 'openstack', 'login.js')),
      ...(await load('src', 'sources', 'neutron', 'index.js')),
      ...(await load('src', 'sources', 'neutron', 'bus.js')),
      ...(await load('src', 'sources', 'neutron', 'transport.js')),
      ...(await load('src', 'api', 'transfer.js')),
    };
    this.rabbit = await Rabbit.start(join(this.folder, 'rabbit'));
    this.daemons.push(this.rabbit);
    const args = ['--page', '1000', '--bus', this.rabbit.url];
    const { keystone, neutron } = await cloud(this.root, this.folder, this.daemons, { args, lifetime: LIFETIME });
    this.keystone = keystone;
    this.url = neutron.ready;
    const port = new URL(this.url).port;
    this.again = async (more) => {
      await this.daemons.pop().end();
      this.daemons.push(await startNeutron(this.root, this.folder, keystone, ['--port', port, ...more]));
    };
    this.admin = new Neutron(this.url, freshToken(keystone));
    this.login('secret');
    this.agent = await keystone.make('user', { name: 'agent', password: 'secret' });
    const { id } = (await this.projects()).find(({ name }) => name === 'service');
    await keystone.grant(this.agent, id, 'admin');
    await this.reportAgents();
    this.world = new World(this.admin);
    await this.world.fill();

    await this.byObjects();
    await this.troubles(args);
    await this.byNotifications();
    await this.byQuestions();
    const sorted = this.latencies.toSorted((one, other) => one - other);
    const inTime = sorted.filter((one) => one <= PROMISED).length;
    const figures = `${inTime} of ${sorted.length} changes within ${PROMISED} ms, half within ${sorted[sorted.length >> 1]} ms, the slowest ${sorted.at(-1)} ms`;
    process.stdout.write(`by a broker: ${figures}\n`);
    return { suite: SUITE, passed: this.passed, failed: this.failed, skipped: 0, why: figures };
  }

  async projects() {
    return this.keystone.list('projects');
  }

  login(password) {
    const domain = { user_domain_id: 'default', project_domain_id: 'default' };
    const auth = { auth_url: this.keystone.url, username: 'agent', password, project_name: 'service', ...domain };
    const clouds = join(this.folder, 'clouds.yaml');
    writeFileSync(clouds, JSON.stringify({ clouds: { real: { auth } } }), { mode: 0o600 });
    this.environment = { OS_CLIENT_CONFIG_FILE: clouds };
  }

  async reportAgents() {
    const program = join(this.root, 'test', 'conformance', 'neutron-agents.py');
    const lines = [];
    const { ended } = start(PYTHON, [program, this.rabbit.url, ...HOSTS], {
      withErrors: true,
      onLine: (line) => lines.push(line),
    });
    const { status } = await ended;
    if (status !== 0) throw new Error(`no agents: ${lines.slice(-5).join('\n')}`);
  }

  /** A source for each host. @param hints whether they listen to the broker */
  follow(pollEvery, hasHints) {
    const { Bus, NeutronSource, parseTransportUrl, theCloud } = this.modules;
    this.followers = HOSTS.map((host) => {
      const hints = hasHints ? new Bus(() => parseTransportUrl(this.rabbit.url)) : undefined;
      const settings = { url: undefined, cloud: () => theCloud(this.environment), host, pollEvery, hints };
      return new Follower(this.modules, host, new NeutronSource(settings));
    });
  }

  stop() {
    for (const follower of this.followers) follower.source.stop();
    this.followers = [];
  }

  async dump() {
    const document = await this.modules.neutronDocument(this.url, await this.admin.token());
    const { topology } = this.modules.parseTopology([document]);
    return new Map(HOSTS.map((host) => [host, rulesOf(this.modules, topology, host)]));
  }

  /**
   * Until each host compiles what a fresh dump says.
   * @returns milliseconds until the last one did, undefined when one never does
   */
  async equal(since = performance.now()) {
    // Whoever reads everything keeps a small Neutron from answering others: they are first.
    await wait(PROMISED);
    const expected = await this.dump();
    while (performance.now() - since < PATIENCE) {
      if (this.followers.every((one) => one.rules() === expected.get(one.host))) {
        return Math.max(0, ...this.followers.map(({ changedAt }) => Math.round(changedAt - since)));
      }
      await wait(20);
    }
    return undefined;
  }

  async checkEqual(what, since) {
    const time = await this.equal(since);
    const different = this.followers
      .filter(({ troubles }) => troubles.length > 0)
      .map(({ troubles }) => troubles.at(-1));
    this.check(what, time === undefined ? `not after ${PATIENCE} ms${different.join('; ')}` : '');
    return time;
  }

  /** @returns milliseconds of each */
  async changes(count, what, deletes = true) {
    const times = [];
    for (let number = 0; number < count; number++) {
      const asked = performance.now();
      const name = await this.world.change(deletes);
      const answered = performance.now();
      const time = await this.equal(answered);
      if (time === undefined) {
        this.check(`${what}: ${name}`, `not after ${PATIENCE} ms`);
        return times;
      }
      const itself = Math.round(answered - asked);
      process.stdout.write(`        ${String(time).padStart(6)} ms  ${name} (Neutron itself took ${itself} ms)\n`);
      times.push(time);
    }
    this.check(`${what}: ${count} changes, after each of which every host has what a fresh dump says`, '');
    return times;
  }

  async byObjects() {
    this.follow(10_000, true);
    await this.checkEqual('a full read, in pages');
    await this.until('the broker is heard', () => this.followers.every(({ notices }) => notices.length === 0));
    this.latencies.push(...(await this.changes(CHANGES, 'versioned objects')));
    const foreign = this.followers.flatMap((one) => [...one.ports.values()].filter(({ host }) => host !== one.host));
    const carried = this.followers.map(({ ports }) => ports.size);
    this.check(
      `no host carries the whole cloud (${carried.join(', ')} of ${this.world.ports.length} ports)`,
      carried.every((size) => size < this.world.ports.length) && foreign.length > 0 ? '' : 'it does',
    );
  }

  async until(what, isSo) {
    const since = performance.now();
    while (!isSo() && performance.now() - since < PATIENCE) await wait(20);
    this.check(what, isSo() ? '' : `not after ${PATIENCE} ms`);
  }

  async troubles(args) {
    const said = () => this.followers.map(({ troubles }) => troubles.length);
    const before = said();
    this.check('nothing was stale until now, though tokens ended', before.every((one) => one === 0) ? '' : `${before}`);
    await this.rabbit.kill();
    await this.until('that the broker died is said', () =>
      this.followers.every(({ notices }) => notices.some((line) => line.includes('broker'))),
    );
    // Neutron waits for its broker, too: it may answer only when that is back.
    const changing = this.world.change(false);
    const first = await Promise.race([changing, wait(15_000, undefined)]);
    if (first !== undefined) await this.checkEqual(`without the broker: ${first}`);
    await this.rabbit.begin();
    await changing;
    await this.until('that it is back is said', () => this.followers.every(({ notices }) => notices.length === 0));
    await this.checkEqual('what happened without the broker is known');
    await this.reportAgents();
    this.latencies.push(...(await this.changes(5, 'with the broker back')));

    await this.daemons.pop().end();
    this.daemons.push({ end: async () => undefined });
    for (const follower of this.followers) follower.source.reload();
    await this.until('that Neutron is away is said', () => this.followers.every(({ isStale }) => isStale));
    const kept = this.followers.every((one) => one.ports.size > 0);
    this.check('and everything stays', kept ? '' : 'ports are gone');
    await this.again(args);
    await this.until('that it is back is noticed', () => this.followers.every(({ isStale }) => !isStale));
    await this.checkEqual('with Neutron back');

    await this.keystone.change(`users/${this.agent}`, 'user', { password: 'another' });
    this.login('another');
    for (const follower of this.followers) follower.source.reload();
    await this.checkEqual('a token that was refused, and a password that was changed');
    this.latencies.push(...(await this.changes(3, 'with another token')));
    this.stop();
  }

  async byNotifications() {
    for (const { id } of (await this.admin.ask('GET', 'agents')).agents) await this.admin.ask('DELETE', `agents/${id}`);
    await this.again(['--page', '7', '--bus', this.rabbit.url, '--notify']);
    // Whoever publishes makes the exchange.
    await this.world.change(false);
    this.follow(600_000, true);
    await this.checkEqual('a full read in pages of seven');
    await this.until('the broker is heard', () => this.followers.every(({ notices }) => notices.length === 0));
    this.latencies.push(...(await this.changes(8, 'notifications alone')));
    this.stop();
  }

  async byQuestions() {
    await this.again(['--page', '1000']);
    this.follow(1000, false);
    await this.checkEqual('a full read');
    const times = await this.changes(6, 'questions alone, each second', false);
    process.stdout.write(`by questions: the slowest ${Math.max(...times)} ms\n`);
    await this.world.removePort();
    await this.checkEqual('a port that is gone, with the next comparison of everything');
    this.stop();
  }
}

/** Whoever obeys a source, as an agent does. */
class Follower {
  ports = new Map();
  securityGroups = new Map();
  addressGroups = new Map();
  networks = new Map();
  subnets = new Map();
  troubles = [];
  notices = ['nothing yet'];
  isStale = false;
  /** When it was told what it compiles now; in milliseconds. */
  changedAt = 0;
  #toldAt = 0;
  #rules;
  #before;

  constructor(modules, host, one) {
    Object.assign(this, { modules, host, source: one });
    one.start(
      (event) => this.#take(event),
      () => this.topology,
    );
  }

  get topology() {
    const { ports, securityGroups, addressGroups, networks, subnets } = this;
    return { ...this.modules.EMPTY_TOPOLOGY, ports, securityGroups, addressGroups, networks, subnets };
  }

  rules() {
    if (this.#rules === undefined) {
      this.#rules = rulesOf(this.modules, this.topology, this.host);
      if (this.#rules !== this.#before) this.changedAt = this.#toldAt;
      this.#before = this.#rules;
    }
    return this.#rules;
  }

  #take(event) {
    this.isStale = event.kind === 'stale';
    if (this.isStale) {
      this.troubles.push(event.problems.map(({ message }) => message).join('; '));
      return;
    }
    this.notices = event.problems.filter(({ code }) => code === 'unreadable').map(({ message }) => message);
    this.#rules = undefined;
    this.#toldAt = performance.now();
    if (event.kind === 'topology') {
      for (const name of ['ports', 'securityGroups', 'addressGroups', 'networks', 'subnets'])
        this[name] = new Map(event.topology[name]);
      return;
    }
    for (const name of ['ports', 'securityGroups', 'addressGroups'])
      this.modules.applyTo(this[name], event.changes[name]);
  }
}

function rulesOf({ compile, DEFAULT_OPTIONS, isOnHost, printRuleset }, topology, host) {
  return printRuleset(compile(topology, (port) => isOnHost(port, host), DEFAULT_OPTIONS).ruleset);
}

/** A token for a third of its life. */
function freshToken(keystone) {
  let [token, until] = [undefined, 0];
  return async () => {
    if (performance.now() >= until) {
      token = await keystone.token('admin', 'admin');
      until = performance.now() + (LIFETIME * 1000) / 3;
    }
    return token;
  };
}

/** What is in the cloud, and what may happen to it. */
class World {
  ports = [];
  groups = [];
  rules = [];
  #state = 20_261_126;
  #turn = 0;

  constructor(admin) {
    this.admin = admin;
  }

  /** Lehmer's generator (Park and Miller): the same changes each time. */
  #below(limit) {
    this.#state = (this.#state * 48_271) % 2_147_483_647;
    return this.#state % limit;
  }

  #one(list) {
    return list[this.#below(list.length)];
  }

  async fill() {
    this.network = await this.admin.make('network', { name: 'net' });
    const quota = { security_group: -1, security_group_rule: -1, port: -1 };
    await this.admin.ask('PUT', `quotas/${this.network.project_id}`, { quota });
    const inNetwork = { network_id: this.network.id };
    await this.admin.make('subnet', { ...inNetwork, ip_version: 4, cidr: '10.0.0.0/20' });
    const slaac = { ipv6_ra_mode: 'slaac', ipv6_address_mode: 'slaac' };
    await this.admin.make('subnet', { ...inNetwork, ip_version: 6, cidr: '2001:db8::/64', ...slaac });
    for (const name of ['web', 'app', 'database', 'bastion', 'far away', 'nobody']) {
      this.groups.push(await this.admin.make('security_group', { name }));
    }
    const [web, app, database, bastion, far] = this.groups;
    this.office = await this.admin.make('address_group', {
      name: 'office',
      addresses: ['192.0.2.0/24', '2001:db8:5::/48'],
    });
    for (const [group, rule] of [
      [web, { port_range_min: 443, port_range_max: 443 }],
      [app, { port_range_min: 8000, port_range_max: 8099, remote_group_id: web.id }],
      [database, { port_range_min: 5432, port_range_max: 5432, remote_group_id: app.id }],
      [database, { port_range_min: 22, port_range_max: 22, remote_group_id: bastion.id }],
      [bastion, { port_range_min: 22, port_range_max: 22, remote_address_group_id: this.office.id }],
      [far, { port_range_min: 1, port_range_max: 1, remote_group_id: far.id }],
    ]) {
      const body = { direction: 'ingress', protocol: 'tcp', security_group_id: group.id, ...rule };
      this.rules.push(await this.admin.make('security_group_rule', body));
    }
    for (let number = 0; number < PORTS; number++) await this.#makePort(number);
  }

  /** Of ten ports one is nowhere, in a group that no host names. */
  #port(number) {
    const isFar = number % 10 === 9;
    const groups = isFar ? [this.groups[4].id] : [this.groups[number % 4].id];
    const owner = { device_owner: 'compute:nova', device_id: `server-${number}` };
    return {
      ...{ network_id: this.network.id, name: `port-${number}`, security_groups: groups, ...owner },
      'binding:host_id': isFar ? '' : HOSTS[number % 3],
    };
  }

  async #makePort(number) {
    this.ports.push(await this.admin.make('port', this.#port(number)));
  }

  /** One change: of each kind in turn. @returns what it was */
  async change(deletes) {
    const kinds = Object.entries(this.#kinds()).filter(([, { isDeletion }]) => deletes || isDeletion !== true);
    const [name, { work }] = kinds[this.#turn++ % kinds.length];
    await work();
    return name;
  }

  async removePort() {
    await this.#kinds()['a port goes'].work();
  }

  async #put(port, fields) {
    await this.admin.ask('PUT', `ports/${port.id}`, { port: fields });
  }

  #kinds() {
    const near = () => this.#one(this.ports.filter((_, index) => index % 10 !== 9));
    const rule = async (more) => {
      const port = 1 + this.#below(60_000);
      const group = this.#one(this.groups.slice(0, 4));
      const fields = { direction: 'ingress', protocol: 'udp', port_range_min: port, port_range_max: port };
      this.rules.push(
        await this.admin.make('security_group_rule', { ...fields, security_group_id: group.id, ...more() }),
      );
    };
    return {
      'a rule comes': { work: async () => rule(() => ({})) },
      'a port moves to another host': { work: async () => this.#put(near(), { 'binding:host_id': this.#one(HOSTS) }) },
      'a port changes its groups': {
        work: async () =>
          this.#put(near(), {
            security_groups: [...new Set([this.#one(this.groups).id, this.groups[0].id])].slice(this.#below(2)),
          }),
      },
      'a rule comes that names a group': {
        work: async () => rule(() => ({ remote_group_id: this.#one(this.groups).id })),
      },
      'a rule goes': {
        work: async () => {
          const [gone] = this.rules.splice(this.#below(this.rules.length), 1);
          await this.admin.ask('DELETE', `security-group-rules/${gone.id}`);
        },
      },
      'a port comes': { work: async () => this.#makePort(this.#below(900) * 10 + this.#below(9)) },
      'addresses come': {
        work: async () => {
          const addresses = [`198.51.${this.#below(250)}.${this.#below(250)}/32`];
          await this.admin.ask('PUT', `address-groups/${this.office.id}/add_addresses`, { addresses });
        },
      },
      'a port has an address pair': {
        work: async () => this.#put(near(), { allowed_address_pairs: [{ ip_address: `10.0.9.${this.#below(250)}` }] }),
      },
      'a port goes': {
        isDeletion: true,
        work: async () => {
          const port = near();
          this.ports = this.ports.filter((one) => one !== port);
          await this.admin.ask('DELETE', `ports/${port.id}`);
        },
      },
      'a port has other addresses': {
        work: async () => this.#put(near(), { fixed_ips: [{ ip_address: `10.0.8.${1 + this.#below(250)}` }] }),
      },
      'a port is not filtered': {
        work: async () =>
          this.#put(near(), { port_security_enabled: false, security_groups: [], allowed_address_pairs: [] }),
      },
      'a group comes, and ports have it': {
        work: async () => {
          const group = await this.admin.make('security_group', { name: `group ${this.#turn}` });
          this.rules.push(
            await this.admin.make('security_group_rule', {
              ...{
                direction: 'ingress',
                protocol: 'tcp',
                security_group_id: group.id,
                remote_group_id: this.groups[4].id,
              },
            }),
          );
          await this.#put(near(), { port_security_enabled: true, security_groups: [group.id] });
        },
      },
      'a far member comes': {
        work: async () =>
          this.#put(
            this.ports.find(({ name }) => name === 'port-9'),
            { security_groups: [this.#one(this.groups).id] },
          ),
      },
    };
  }
}
