/** Topologies for benchmarks: the same for the same numbers. */
const GROUPS = 100;
const RULES = 8;

export type Fields = Readonly<Record<string, unknown>>;

/** `total` ports, `local` of them on this host, 100 groups of 8 rules. */
export function document(local: number, total: number): Fields {
  const groups = Array.from({ length: GROUPS }, (_, group) => ({
    id: `group${String(group).padStart(3, '0')}`,
    security_group_rules: Array.from({ length: RULES }, (__, rule) => ({
      id: `rule-${String(group)}-${String(rule)}`,
      direction: rule < 2 ? 'egress' : 'ingress',
      ethertype: rule % 2 === 0 ? 'IPv4' : 'IPv6',
      ...(rule < 2
        ? {}
        : { protocol: 'tcp', port_range_min: 1000 + rule * 10, port_range_max: 1000 + rule * 10 + rule }),
      ...(rule >= 6 ? { remote_group_id: `group${String((group + rule) % GROUPS).padStart(3, '0')}` } : {}),
    })),
  }));
  const ports = Array.from({ length: total }, (_, port) => ({
    id: `${port.toString(16).padStart(8, '0')}-port`,
    mac_address: `fa:16:3e:${[16, 8, 0].map((shift) => ((port >> shift) & 255).toString(16).padStart(2, '0')).join(':')}`,
    network_id: 'network',
    fixed_ips: [
      { ip_address: `10.${[16, 8, 0].map((shift) => String((port >> shift) & 255)).join('.')}` },
      { ip_address: `fd00::1:${(port >> 16).toString(16)}:${(port & 0xffff).toString(16)}` },
    ],
    security_groups: [
      `group${String(port % GROUPS).padStart(3, '0')}`,
      `group${String((port * 7 + 1) % GROUPS).padStart(3, '0')}`,
    ],
    'binding:host_id': port < local ? 'here' : 'elsewhere',
  }));
  return { security_groups: groups, ports };
}

export function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}
