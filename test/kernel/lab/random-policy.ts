/** A policy that changes at random, one thing at a time, between ports that really send and ports that exist on paper. */
import { EGRESS, HOST, portFields, type Rule } from './pair.js';
import type { Guest } from './streams.js';

/** Always allowed among the guests. */
export const OPEN_PORT = 9000;
/** Never allowed. */
export const CLOSED_PORT = 9999;
/** Come and go. Next to each other: rules for them become ranges. */
export const TOGGLED_PORTS: readonly number[] = [5000, 5001, 5002];
/** Of them, those of which no two become a range. */
export const APART: readonly number[] = [5000, 5002];

const GROUPS = 6;
const GHOSTS = 12;

type Random = (below: number) => number;

/** Numbers from a seed, the same ones for the same seed (Numerical Recipes' linear congruential generator). */
export function randomFrom(seed: number): Random {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

export class RandomPolicy {
  readonly #on = new Set<string>();
  readonly #toggles: readonly string[];

  constructor(
    private readonly guests: readonly Guest[],
    private readonly random: Random,
    private readonly ports: readonly number[] = TOGGLED_PORTS,
  ) {
    const groups = [...Array(GROUPS).keys()];
    this.#toggles = [
      ...groups.flatMap((group) => ports.flatMap((port) => REMOTES.map((remote) => `rule ${group} ${port} ${remote}`))),
      ...groups.flatMap((group) => guests.map((_guest, index) => `member ${group} ${index}`)),
      ...guests.flatMap((_guest, index) => [
        `friend4 ${index}`,
        `friend6 ${index}`,
        `egress ${index}`,
        `pair ${index}`,
      ]),
      ...Array.from({ length: GHOSTS }, (_none, index) => `ghost ${index}`),
      ...groups.map((group) => `name ${group}`),
    ];
    for (const toggle of this.#toggles) if (random(3) === 0) this.#on.add(toggle);
  }

  /** Changes one thing. */
  change(): void {
    const toggle = this.#toggles[this.random(this.#toggles.length)] ?? '';
    if (!this.#on.delete(toggle)) this.#on.add(toggle);
  }

  document(): Rule {
    const groups = [...Array(GROUPS).keys()];
    return {
      security_groups: [
        { id: 'base', name: 'base', security_group_rules: BASE },
        { id: 'free', name: 'free', security_group_rules: EGRESS },
        ...groups.map((group) => ({
          id: groupId(group),
          name: this.#on.has(`name ${group}`) ? 'renamed' : `group ${group}`,
          security_group_rules: this.ports.flatMap((port) =>
            REMOTES.filter((remote) => this.#on.has(`rule ${group} ${port} ${remote}`)).flatMap((remote) =>
              rules(port, remote, group),
            ),
          ),
        })),
      ],
      address_groups: [
        {
          id: 'friends',
          name: 'friends',
          addresses: this.guests.flatMap(({ v4, v6 }, index) => [
            ...(this.#on.has(`friend4 ${index}`) ? [`${v4}/32`] : []),
            ...(this.#on.has(`friend6 ${index}`) ? [`${v6}/128`] : []),
          ]),
        },
      ],
      ports: [...this.guests.map((guest, index) => this.#port(guest, index)), ...this.#ghosts()],
    };
  }

  #port(guest: Guest, index: number): Rule {
    const groups = [...Array(GROUPS).keys()].filter((group) => this.#on.has(`member ${group} ${index}`));
    // The first two send whatever they like, always.
    const isFree = index < 2 || this.#on.has(`egress ${index}`);
    return portFields(guest, ['base', ...(isFree ? ['free'] : []), ...groups.map(groupId)], {
      'binding:host_id': HOST,
      allowed_address_pairs: this.#on.has(`pair ${index}`) ? [{ ip_address: `10.99.${index}.0/24` }] : [],
    });
  }

  /** Ports without a device, half of them on other hosts; members of groups all the same. */
  #ghosts(): readonly Rule[] {
    return [...Array(GHOSTS).keys()]
      .filter((ghost) => this.#on.has(`ghost ${ghost}`))
      .map((ghost) => ({
        id: `ghost${ghost.toString().padStart(6, '0')}`,
        mac_address: `fa:16:3e:99:00:${ghost.toString(16).padStart(2, '0')}`,
        network_id: 'network',
        fixed_ips: [{ ip_address: `10.0.9.${ghost + 1}` }, { ip_address: `fd00::9:${ghost + 1}` }],
        security_groups: ['base', groupId(ghost % GROUPS)],
        'binding:host_id': ghost % 2 === 0 ? HOST : 'elsewhere',
      }));
  }
}

const REMOTES = ['any', 'prefix', 'group', 'friends', 'egress'] as const;

const groupId = (group: number): string => `group-${group}`;

function rules(port: number, remote: string, group: number): readonly Rule[] {
  const range = { protocol: 'udp', port_range_min: port, port_range_max: port };
  const both = (fields: Rule): readonly Rule[] =>
    ['IPv4', 'IPv6'].map((ethertype) => ({ direction: 'ingress', ethertype, ...range, ...fields }));
  switch (remote) {
    case 'prefix':
      return [{ direction: 'ingress', ...range, remote_ip_prefix: '10.0.0.0/30' }];
    case 'group':
      return both({ remote_group_id: groupId((group + 1) % GROUPS) });
    case 'friends':
      return both({ remote_address_group_id: 'friends' });
    case 'egress':
      return both({ direction: 'egress' });
    default:
      return group % 2 === 0 ? both({}) : [{ direction: 'ingress', ...range }];
  }
}

const BASE: readonly Rule[] = ['ingress', 'egress'].flatMap((direction) =>
  ['IPv4', 'IPv6'].flatMap((ethertype) =>
    ['tcp', 'udp'].map((protocol) => ({
      direction,
      ethertype,
      protocol,
      port_range_min: OPEN_PORT,
      port_range_max: OPEN_PORT + 99,
    })),
  ),
);
