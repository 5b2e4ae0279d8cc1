/** What the counters of the loaded rules say. */
import { z } from 'zod';
import { listWithCounters } from './nft.js';

export interface RuleCounter {
  readonly family: string;
  readonly chain: string;
  /** What the rule is for, without its digest. */
  readonly label: string;
  readonly verdict: 'accept' | 'drop' | 'other';
  readonly packets: number;
  readonly bytes: number;
}

const LISTING = z.object({
  nftables: z.array(
    z.object({
      rule: z
        .object({ chain: z.string(), comment: z.string().optional(), expr: z.array(z.record(z.string(), z.unknown())) })
        .optional(),
    }),
  ),
});
const COUNTER = z.object({ packets: z.number(), bytes: z.number() });

/** Every rule of ours that counts, in the order of the listing. */
export async function readCounters(): Promise<readonly RuleCounter[]> {
  const counters: RuleCounter[] = [];
  for (const { family, json } of await listWithCounters()) {
    for (const { rule } of LISTING.parse(json).nftables) {
      const counter = COUNTER.safeParse(rule?.expr.find((part) => 'counter' in part)?.['counter']);
      if (rule === undefined || !counter.success) continue;
      const has = (verdict: string): boolean => rule.expr.some((part) => verdict in part);
      counters.push({
        family,
        chain: rule.chain,
        label: (rule.comment ?? '').replace(/^[0-9a-f]{8} /, ''),
        verdict: has('drop') ? 'drop' : has('accept') ? 'accept' : 'other',
        ...counter.data,
      });
    }
  }
  return counters;
}
