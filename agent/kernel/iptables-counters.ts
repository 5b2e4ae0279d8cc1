/** What rules of ours in iptables have counted. They have no comments: what one is for is known by its chain. */
import { ADMIT_CHAINS } from '../../compiler/index.js';
import type { Family } from '../../compiler/model/index.js';
import { KernelError } from './errors.js';
import { holdsTables, listCountedRules } from './iptables.js';
import type { RuleCounter } from './rule-counter.js';

/** What a packet met that ended there; the first that fits. */
const REASONS: readonly (readonly [chain: RegExp, rule: RegExp, reason: string])[] = [
  [/^pc-profile_/, /./, 'no rule allows it'],
  [/^pc-spoofed$/, /./, 'spoofed source'],
  [/^pc-nd_/, /./, 'spoofed neighbour discovery target'],
  [/^pc-state_/, /INVALID/, 'invalid to connection tracking'],
  [/^pc-state_/, /./, 'flow whose permission was revoked'],
  [/^pc-link_local_only$/, /./, 'the port has no address of this family'],
  [/^pc-service_out$/, /./, 'acts as DHCP server or router'],
  [/^pc-(unfiltered|others)_out$/, /./, 'address of a port from another device'],
  [/^pc-(egress|ingress)$/, /\+ /, 'device of no known port'],
];

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
    const [, packets, bytes, chain = '', rule = ''] = /^\[(\d+):(\d+)\] -A (pc-\S+) (.*)$/.exec(line) ?? [];
    const isDrop = rule.endsWith('-j DROP');
    const isAccept =
      Object.values(ADMIT_CHAINS).some((admit) => rule.endsWith(`-g ${admit}`)) && chain.startsWith('pc-sg_');
    if (!isDrop && !isAccept) return [];
    const reason = REASONS.find(([ofChain, ofRule]) => ofChain.test(chain) && ofRule.test(rule))?.[2];
    return [
      {
        family: family === 'IPv4' ? 'ip' : 'ip6',
        chain,
        digest: '',
        label: (isDrop ? reason : undefined) ?? rule.replace(/ ?-[gj] \S+$/, ''),
        verdict: isDrop ? 'drop' : 'accept',
        isNoise: false,
        packets: Number(packets),
        bytes: Number(bytes),
      },
    ];
  });
}
