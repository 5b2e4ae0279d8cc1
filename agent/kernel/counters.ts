/** What the counters of the loaded rules say. */
import { z } from 'zod';
import { tallySetName } from '../../compiler/index.js';
import type { Direction } from '../../src/model/index.js';
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

/** What was dropped for a device, in the last day or longer. */
export interface PortDrops {
  readonly device: string;
  /** From the port (egress) or to it (ingress). */
  readonly direction: Direction;
  readonly packets: number;
  readonly bytes: number;
}

export interface Counters {
  /** Every rule of ours that counts, in the order of the listing. */
  readonly rules: readonly RuleCounter[];
  readonly drops: readonly PortDrops[];
}

const COUNTER = z.object({ packets: z.number(), bytes: z.number() });
const LISTING = z.object({
  nftables: z.array(
    z.object({
      set: z.object({ name: z.string(), elem: z.array(z.unknown()).optional() }).optional(),
      rule: z
        .object({ chain: z.string(), comment: z.string().optional(), expr: z.array(z.record(z.string(), z.unknown())) })
        .optional(),
    }),
  ),
});
const TALLIED = z.object({ elem: z.object({ val: z.string(), counter: COUNTER }) });

const DIRECTIONS: readonly Direction[] = ['egress', 'ingress'];

export async function readCounters(): Promise<Counters> {
  const rules: RuleCounter[] = [];
  const drops = new Map<string, PortDrops>();
  for (const { family, json } of await listWithCounters()) {
    for (const { rule, set } of LISTING.parse(json).nftables) {
      const counter = rule === undefined ? undefined : counterOf(family, rule);
      if (counter !== undefined) rules.push(counter);
      const direction = DIRECTIONS.find((one) => tallySetName(one) === set?.name);
      if (set === undefined || direction === undefined) continue;
      for (const element of set.elem ?? []) {
        const { elem } = TALLIED.parse(element);
        // ARP is counted in a table of its own.
        const { packets = 0, bytes = 0 } = drops.get(`${direction} ${elem.val}`) ?? {};
        drops.set(`${direction} ${elem.val}`, {
          device: elem.val,
          direction,
          packets: packets + elem.counter.packets,
          bytes: bytes + elem.counter.bytes,
        });
      }
    }
  }
  return { rules, drops: [...drops.values()] };
}

interface ListedRule {
  readonly chain: string;
  readonly comment?: string | undefined;
  readonly expr: readonly Readonly<Record<string, unknown>>[];
}

function counterOf(family: string, rule: ListedRule): RuleCounter | undefined {
  const counter = COUNTER.safeParse(rule.expr.find((part) => 'counter' in part)?.['counter']);
  if (!counter.success) return undefined;
  const has = (verdict: string): boolean => rule.expr.some((part) => verdict in part);
  return {
    family,
    chain: rule.chain,
    label: (rule.comment ?? '').replace(/^[0-9a-f]{8} /, ''),
    verdict: has('drop') ? 'drop' : has('accept') ? 'accept' : 'other',
    ...counter.data,
  };
}
