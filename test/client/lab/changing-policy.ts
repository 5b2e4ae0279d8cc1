/**
 * A policy of three hosts that is changed 20 times a second by an API, whatever happens to it, and what it must be by what was
 * acknowledged: rules, memberships, groups and ports. Each object has one writer, so that what it must be is known exactly.
 */
import { setTimeout } from 'node:timers/promises';
import type { Guest } from '../../kernel/lab/streams.js';
import type { Answer, ApiClients } from './api-clients.js';
import { OPEN_PORT } from './faulted-cloud.js';

/** Of changes that are due, in milliseconds; and how many wait for an answer at a time, so that one that waits holds up no other. */
const EVERY = 50;
const LANES = { rules: 4, moves: 2, comings: 2 };
/** Ports without a device, on each host. */
const MEMBERS = 3;
/** Ports of rules that come and go: neither of those that are judged. */
const FIRST_RULE = 2000;
const RULES = 20;
/** Ports and groups that a lane makes before it begins to take them away. */
const KEPT = 5;

type Body = Readonly<Record<string, unknown>>;

export class ChangingPolicy {
  readonly guests = new Map<string, readonly Guest[]>();
  #network = '';
  #base = '';
  readonly #groups: string[] = [];
  readonly #members: string[] = [];
  /** `GROUP PORT` -> whether there is such a rule. */
  readonly #rules = new Map<string, boolean>();
  /** Of ports, by id: their groups, sorted. */
  readonly #groupsOf = new Map<string, readonly string[]>();
  /** What comes and goes as a whole, by name, and whether it is there. */
  readonly #made = new Map<string, { readonly kind: Made; isThere: boolean; isSure: boolean }>();
  #isOver = false;
  #count = 0;
  /** When the next change is due. */
  #due = 0;

  constructor(
    private readonly clients: ApiClients,
    private readonly random: (below: number) => number,
  ) {}

  /** Makes what every policy of the run has. @param hosts their names. */
  async begin(hosts: readonly string[]): Promise<void> {
    const unlimited = { security_group: -1, security_group_rule: -1, port: -1 };
    await this.clients.change('PUT', 'quotas/default', { first: 200 }, { quota: unlimited });
    this.#network = await this.#post('networks', { name: 'net' });
    const subnets = [
      { ip_version: 4, cidr: '10.0.0.0/16' },
      { ip_version: 6, cidr: 'fd00::/64' },
    ];
    for (const subnet of subnets)
      await this.#post('subnets', { network_id: this.#network, ...subnet, enable_dhcp: false });
    this.#base = await this.#post('security-groups', { name: 'base' });
    for (let lane = 0; lane < LANES.rules; lane++) {
      this.#groups.push(await this.#post('security-groups', { name: `rules-${lane}` }));
    }
    for (const protocol of ['tcp', 'udp']) {
      for (const ethertype of ['IPv4', 'IPv6']) {
        const ports = { port_range_min: OPEN_PORT, port_range_max: OPEN_PORT + 1 };
        await this.#rule(this.#base, { protocol, ethertype, ...ports });
      }
    }
    // Members of the groups that change are members here.
    for (const group of this.#groups) await this.#rule(this.#base, { protocol: 'tcp', remote_group_id: group });
    for (const [host, name] of hosts.entries()) {
      const guests: Guest[] = [];
      for (const number of [1, 2]) guests.push(await this.#guest(name, 10 * host + number));
      this.guests.set(name, guests);
      for (let count = 0; count < MEMBERS; count++) {
        const id = await this.#port(`member-${host}-${count}`, name, [this.#base]);
        this.#members.push(id);
        this.#groupsOf.set(id, [this.#base]);
      }
    }
  }

  /** Until {@link end}; what was asked for then is acknowledged. */
  async run(): Promise<void> {
    const moved = [...Array(LANES.moves).keys()].map((lane) =>
      this.#members.filter((_id, index) => index % LANES.moves === lane),
    );
    const lanes = [
      ...this.#groups.map((group) => async () => this.#toggleRule(group)),
      ...moved.map((members) => async () => this.#move(members)),
      ...[...Array(LANES.comings).keys()].map((lane) => async () => this.#comeAndGo(`lane-${lane}`)),
    ];
    this.#due = performance.now();
    await Promise.all(
      lanes.map(async (change) => {
        while (!this.#isOver) {
          await setTimeout(this.#take());
          await change();
        }
      }),
    );
  }

  /** Takes the next change that is due; what nobody could make in time is not made up for. @returns for how long to wait, in milliseconds */
  #take(): number {
    const now = performance.now();
    this.#due = Math.max(this.#due + EVERY, now);
    return this.#due - now;
  }

  end(): void {
    this.#isOver = true;
  }

  /** A change that concerns every host. */
  async mark(): Promise<void> {
    await this.#toggleRule(this.#base, FIRST_RULE + RULES);
  }

  /** What is not as it must be by what was acknowledged. */
  async wrong(): Promise<readonly string[]> {
    const wrong: string[] = [];
    const rules = await this.clients.list('security-group-rules', 'fields=security_group_id&fields=port_range_min');
    const found = new Set(
      rules.map((rule) => `${String(rule['security_group_id'])} ${String(rule['port_range_min'])}`),
    );
    for (const [key, isThere] of this.#rules) {
      if (found.has(key) !== isThere) wrong.push(`the rule ${key} ${isThere ? 'is gone' : 'is there'}`);
    }
    const ports = await this.clients.list('ports', '');
    for (const [id, groups] of this.#groupsOf) {
      const port = ports.find((one) => one['id'] === id);
      const is = [...((port?.['security_groups'] ?? []) as readonly string[])].sort();
      if (is.join() !== groups.join()) wrong.push(`port ${id} is in ${is.join()}, and not in ${groups.join()}`);
    }
    const groups = await this.clients.list('security-groups', '');
    for (const [name, { kind, isThere, isSure }] of this.#made) {
      const count = (kind === 'ports' ? ports : groups).filter((one) => one['name'] === name).length;
      const isRight = isThere ? count === 1 || (!isSure && count > 1) : count === 0;
      if (!isRight)
        wrong.push(`${kind} ${name}: there are ${count}, ${isThere ? 'and it was made' : 'and it was deleted'}`);
    }
    return wrong;
  }

  async #toggleRule(group: string, port = FIRST_RULE + this.random(RULES)): Promise<void> {
    const key = `${group} ${port}`;
    if (this.#rules.get(key) === true) {
      const [found] = await this.clients.list(
        'security-group-rules',
        `security_group_id=${group}&port_range_min=${port}`,
      );
      if (found === undefined) throw new Error(`the rule ${key} is gone`);
      await this.clients.change('DELETE', `security-group-rules/${String(found['id'])}`, { first: 204, again: 404 });
      this.#rules.set(key, false);
    } else {
      await this.#rule(group, { protocol: 'tcp', port_range_min: port, port_range_max: port });
      this.#rules.set(key, true);
    }
  }

  async #move(members: readonly string[]): Promise<void> {
    const id = members[this.random(members.length)] ?? '';
    const groups = [this.#base, ...this.#groups.filter(() => this.random(2) === 0)].sort();
    await this.clients.change('PUT', `ports/${id}`, { first: 200 }, { port: { security_groups: groups } });
    this.#groupsOf.set(id, groups);
  }

  /** @param lane whose names begin so. */
  async #comeAndGo(lane: string): Promise<void> {
    const there = [...this.#made].filter(([made, { isThere }]) => isThere && made.startsWith(lane));
    const [oldest] = there;
    if (oldest !== undefined && there.length >= KEPT) {
      const [name, made] = oldest;
      for (const { id } of await this.clients.list(made.kind, `name=${name}&fields=id`)) {
        await this.clients.change('DELETE', `${made.kind}/${String(id)}`, { first: 204, again: 404 });
      }
      made.isThere = false;
      return;
    }
    const name = `${lane}-${this.#count++}`;
    const kind = this.random(2) === 0 ? 'ports' : 'security-groups';
    const { undecided } = this.clients;
    if (kind === 'ports') {
      const hosts = [...this.guests.keys()];
      await this.#port(name, hosts[this.random(hosts.length)] ?? '', [this.#base, ...this.#groups]);
    } else await this.#post(kind, { name });
    this.#made.set(name, { kind, isThere: true, isSure: this.clients.undecided === undecided });
  }

  async #guest(host: string, number: number): Promise<Guest> {
    const at = {
      mac: `fa:16:3e:00:09:${number.toString().padStart(2, '0')}`,
      v4: `10.0.9.${number}`,
      v6: `fd00::9:${number}`,
    };
    const fixed = [{ ip_address: at.v4 }, { ip_address: at.v6 }];
    const id = await this.#port(`guest-${number}`, host, [this.#base, ...this.#groups], {
      mac_address: at.mac,
      fixed_ips: fixed,
    });
    return { device: `tap${id.slice(0, 11)}`, ...at };
  }

  async #port(name: string, host: string, groups: readonly string[], more: Body = {}): Promise<string> {
    return this.#post('ports', {
      name,
      network_id: this.#network,
      'binding:host_id': host,
      security_groups: groups,
      ...more,
    });
  }

  async #rule(group: string, fields: Body): Promise<void> {
    const rule = { security_group_id: group, direction: 'ingress', ...fields };
    await this.clients.change(
      'POST',
      'security-group-rules',
      { first: 201, again: 409 },
      { security_group_rule: rule },
    );
  }

  /** @returns its id. */
  async #post(collection: string, fields: Body): Promise<string> {
    const { name } = fields;
    const key = collection.replaceAll('-', '_').replace(/s$/, '');
    // Whether it was made by a question that nobody answered is asked before it is asked for again.
    const lookedUp = async (): Promise<Answer | undefined> => {
      const [found] = await this.clients.list(collection, `name=${String(name)}`);
      return found === undefined ? undefined : { status: 201, body: { [key]: found } };
    };
    const { body } = await this.clients.change('POST', collection, { first: 201 }, { [key]: fields }, lookedUp);
    return String((body[key] as Body)['id']);
  }
}

type Made = 'ports' | 'security-groups';
