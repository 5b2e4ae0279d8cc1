/** What rules of ours in iptables have counted. They have no comments: what one is for is known by its chain. */
import {
  ADMIT_CHAINS,
  nameInNftables,
  readChainName,
  readCountedRules,
  reasonOfDrop,
  type IptablesRule,
} from '../../compiler/index.js';
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
  return readCountedRules(listing).flatMap(({ chain, rule, asked, packets, bytes }): readonly RuleCounter[] => {
    const verdict = verdictOf(chain, rule);
    if (verdict === undefined) return [];
    return [
      {
        family: family === 'IPv4' ? 'ip' : 'ip6',
        chain,
        digest: '',
        label: (verdict === 'drop' ? reasonOfDrop(chain, rule) : undefined) ?? asked,
        verdict,
        isNoise: false,
        packets,
        bytes,
      },
    ];
  });
}

/** What a group lets pass, and what drops; undefined for a rule behind which a packet is judged still. */
function verdictOf(chain: string, { target }: IptablesRule): 'accept' | 'drop' | undefined {
  if (target?.kind === 'verdict' && target.verdict === 'DROP') return 'drop';
  const isAdmitted = target?.kind === 'goto' && Object.values(ADMIT_CHAINS).some((admit) => target.chain === admit);
  return isAdmitted && readChainName(nameInNftables(chain))?.kind === 'group' ? 'accept' : undefined;
}
