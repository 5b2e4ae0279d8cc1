/** What the ports have whose packets are measured: see bench/README.md. */
import { document, type Fields } from '../document.js';

type Objects = readonly Fields[];

/** The last of each port's groups. */
export const TRAFFIC = 'traffic';

/** The rules by which what is measured passes, and one for a group that has all ports as members. */
const RULES: Objects = [
  ...(['IPv4', 'IPv6'] as const).flatMap((ethertype) => [
    { id: `out-${ethertype}`, direction: 'egress', ethertype },
    {
      id: `in-${ethertype}`,
      direction: 'ingress',
      ethertype,
      protocol: 'udp',
      port_range_min: 5000,
      port_range_max: 5999,
    },
  ]),
  {
    id: 'members',
    direction: 'ingress',
    protocol: 'tcp',
    port_range_min: 3306,
    port_range_max: 3306,
    remote_group_id: TRAFFIC,
  },
];

/** The topology of all benchmarks, with one more group that all ports have. */
export function many(ports: number): Fields {
  const base = document(ports, ports);
  return withPorts(base, [...objects(base, 'security_groups'), group(TRAFFIC, RULES)], (port) => ({
    ...port,
    security_groups: [...(port['security_groups'] as readonly string[]), TRAFFIC],
  }));
}

/** Two ports in one group of so many rules more. */
export function mixed(rules: number): Fields {
  const others = Array.from({ length: rules }, (_, at) => mixedRule(at));
  return withPorts(document(2, 2), [group(TRAFFIC, [...others, ...RULES])], (port) => ({
    ...port,
    security_groups: [TRAFFIC],
  }));
}

/** Of both families, from everywhere, prefixes, hosts and members, for ports, ranges and everything: none is for what is measured. */
function mixedRule(at: number): Fields {
  const isV4 = at % 2 === 0;
  const port = 6000 + 3 * at;
  const remote = MIXED_REMOTES[at % MIXED_REMOTES.length] ?? 'anywhere';
  const [high, low] = [(at >> 8).toString(16), (at & 255).toString()];
  const addresses = {
    anywhere: undefined,
    members: undefined,
    prefix: isV4 ? `172.${(16 + (at >> 8)).toString()}.${low}.0/24` : `fd01:${at.toString(16)}::/48`,
    host: isV4 ? `192.168.${(at >> 8).toString()}.${low}` : `fd02::${high}:${at.toString(16)}`,
  };
  const isAll = at % 3 === 0 && addresses[remote] !== undefined;
  return {
    id: `rule-${at.toString()}`,
    direction: 'ingress',
    ethertype: isV4 ? 'IPv4' : 'IPv6',
    ...(isAll
      ? {}
      : {
          protocol: ['tcp', 'udp'][(at >> 1) % 2],
          port_range_min: port,
          port_range_max: port + (at % 4 === 0 ? 1 : 0),
        }),
    ...(addresses[remote] === undefined ? {} : { remote_ip_prefix: addresses[remote] }),
    ...(remote === 'members' ? { remote_group_id: TRAFFIC } : {}),
  };
}

const MIXED_REMOTES = ['anywhere', 'prefix', 'host', 'prefix', 'members'] as const;

function group(id: string, rules: Objects): Fields {
  return { id, security_group_rules: rules };
}

function withPorts(base: Fields, groups: Objects, change: (port: Fields) => Fields): Fields {
  return { ...base, security_groups: groups, ports: objects(base, 'ports').map(change) };
}

export function objects(fields: Fields, name: string): Objects {
  return fields[name] as Objects;
}
