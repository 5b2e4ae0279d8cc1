/** What rules of ours in iptables have counted. They have no comments: what one is for is known by its chain. */
import { ADMIT_CHAINS, isOursInIptables, nameInNftables, readChainName, reasonOfDrop } from '../../compiler/index.js';
import type { Family } from '../../compiler/model/index.js';
import { KernelError } from './errors.js';
import { holdsTables, listCountedRules } from './iptables.js';
import type { RuleCounter } from './rule-counter.js';

/** None where there is no iptables, or nothing of ours in it. */
export async function readIptablesCounters(): Promise<readonly RuleCounter[]> {
  if (!(await holdsTables())) return [];
  try {
    const [v4, v6] = await Promise.all([listCountedRules('IPv4'), listCountedRules('IPv6')]);
    return [...iptablesCountersIn('IPv4', v4), ...iptablesCountersIn('IPv6', v6)];
  } catch (error) {
    if (error instanceof KernelError && error.code === 'unsupported') return [];
    throw error;
  }
}

/** Drops, and what groups let through, of what `iptables-save -c` said. Rules of a chain that drop for one reason are one. */
export function iptablesCountersIn(family: Family, listing: string): readonly RuleCounter[] {
  const counters = new Map<string, RuleCounter>();
  for (const counter of listedCounters(family, listing)) {
    const key = `${counter.chain} ${counter.label}`;
    const { packets = 0, bytes = 0 } = counters.get(key) ?? {};
    counters.set(key, { ...counter, packets: packets + counter.packets, bytes: bytes + counter.bytes });
  }
  return [...counters.values()];
}

function listedCounters(family: Family, listing: string): readonly RuleCounter[] {
  return listing.split('\n').flatMap((line): readonly RuleCounter[] => {
    const [, packets, bytes, chain = '', rule = ''] = /^\[(\d+):(\d+)\] -A (\S+) (.*)$/.exec(line) ?? [];
    if (!isOursInIptables(chain)) return [];
    const isDrop = rule.endsWith('-j DROP');
    const isAccept =
      Object.values(ADMIT_CHAINS).some((admit) => rule.endsWith(`-g ${admit}`)) &&
      readChainName(nameInNftables(chain))?.kind === 'group';
    if (!isDrop && !isAccept) return [];
    return [
      {
        family: family === 'IPv4' ? 'ip' : 'ip6',
        chain,
        digest: '',
        label: (isDrop ? reasonOfDrop(chain, rule) : undefined) ?? rule.replace(/ ?-[gj] \S+$/, ''),
        verdict: isDrop ? 'drop' : 'accept',
        isNoise: false,
        packets: Number(packets),
        bytes: Number(bytes),
      },
    ];
  });
}
