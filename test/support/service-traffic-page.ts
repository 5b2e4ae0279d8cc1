/** docs/service-traffic.md, printed from the table that rules are made of. */
import { SERVICE_TRAFFIC, type ServiceTraffic, type ServiceVerdict } from '../../compiler/ruleset/service-traffic.js';

const VERDICTS: Readonly<Record<ServiceVerdict, string>> = {
  pass: 'passes',
  'own-target': 'own target only',
  never: 'never passes',
  noise: 'noise',
};

export function serviceTrafficPage(): string {
  return `# Service traffic

What a port with port security may send and get whatever its groups are, and what it may never send. Printed
from \`compiler/ruleset/service-traffic.ts\`, of which the rules of both backends are made, too:
\`npx vitest run test/unit/compiler/service-traffic.test.ts -u\` writes this page anew.

- *passes*: without a rule.
- *own target only*: passes if the target of neighbour discovery is an address of the port; else never.
- *never passes*: no rule allows it.
- *noise*: dropped unless a rule allows it, as everything is; but counted apart, for it comes to every port of
  a network and is nobody's loss. With iptables it is counted with all else.

A port sends all of it from its own MAC and addresses
([the chains](architecture.md#chains-that-every-port-shares)).
What comes "from no address" is from \`0.0.0.0\` to \`255.255.255.255\`, or from \`::\` to \`ff02::/16\`.

## From a port
${table('egress')}

## To a port
${table('ingress')}
`;
}

function table(direction: ServiceTraffic['direction']): string {
  const rows = SERVICE_TRAFFIC.filter((row) => row.direction === direction).map(
    (row) => `| ${row.what} | ${packetsOf(row)} | ${VERDICTS[row.verdict]} | ${row.why} |`,
  );
  return ['| what | packets | verdict | why |', '| --- | --- | --- | --- |', ...rows].join('\n');
}

function packetsOf({ family, source, match }: ServiceTraffic): string {
  const where = `${family === 'both' ? 'all' : family}${source === 'none' ? ' from no address' : ''}`;
  switch (match.kind) {
    case 'udp':
      return `${where}, UDP ${match.from.toString()} to ${match.to.toString()}`;
    case 'icmpv6':
      return `${where}, ICMPv6 ${match.types.join(', ')}`;
    case 'protocol':
      return `${where}, protocol ${match.protocol.toString()}`;
    case 'from-host':
      return where;
  }
}
