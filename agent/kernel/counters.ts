/** What the counters of the loaded rules say. */
import { z } from 'zod';
import {
  AUDIT,
  AUDIT_PASSED,
  auditTallySetName,
  NOISE,
  placeOfFlows,
  readComment,
  tallySetName,
} from '../../compiler/index.js';
import { DIRECTIONS, type Direction } from '../../compiler/model/index.js';
import { readIptablesCounters } from './iptables-counters.js';
import { listWithCounters } from './nft.js';
import type { Count, RuleCounter } from './rule-counter.js';

/** What was dropped for a device, in the last day or longer. */
export interface PortDrops extends Count {
  readonly device: string;
  /** From the port (egress) or to it (ingress). */
  readonly direction: Direction;
}

/** What would have been dropped, from whom to whom, in the last hour or longer. */
export interface AuditedFlow extends Count {
  /** The chain that would have dropped it; `profile_in` and `profile_out` stand for those of all groups: no rule allows it. */
  readonly chain: string;
  /** Of the port. */
  readonly device: string;
  readonly source: string;
  readonly destination: string;
  /** IANA number. */
  readonly protocol: number;
  /** Destination port; of ICMP, type and code: 256 * type + code; of others the first 16 bits of their header. */
  readonly port: number;
}

export interface Counters {
  /** Every rule of ours that counts, in the order of the listing. */
  readonly rules: readonly RuleCounter[];
  readonly drops: readonly PortDrops[];
  /** What audit mode counts; empty in any other. */
  readonly audited: { readonly drops: readonly PortDrops[]; readonly flows: readonly AuditedFlow[] };
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
const FLOW = z.object({
  elem: z.object({
    val: z.object({ concat: z.tuple([z.string(), z.string(), z.string(), z.number(), z.number()]) }),
    counter: COUNTER,
  }),
});

export async function readCounters(): Promise<Counters> {
  const [counters, rules] = await Promise.all([listWithCounters().then(countersIn), readIptablesCounters()]);
  return { ...counters, rules: [...counters.rules, ...rules] };
}

/** What is counted in nftables, of listings. */
export function countersIn(listings: readonly { readonly family: string; readonly json: unknown }[]): Counters {
  const rules: RuleCounter[] = [];
  const flows: AuditedFlow[] = [];
  const drops = new Tally(tallySetName);
  const audited = new Tally(auditTallySetName);
  for (const { family, json } of listings) {
    for (const { rule, set } of LISTING.parse(json).nftables) {
      const counter = rule === undefined ? undefined : counterOf(family, rule);
      if (counter !== undefined) rules.push(counter);
      const elements = set?.elem ?? [];
      if (set === undefined || elements.length === 0) continue;
      const place = placeOfFlows(set.name);
      if (place !== undefined) flows.push(...elements.map((element) => flowOf(place.chain, element)));
      drops.add(set.name, elements);
      audited.add(set.name, elements);
    }
  }
  return { rules, drops: drops.list(), audited: { drops: audited.list(), flows } };
}

/** ARP, and devices that are on another path than they should be, are counted in tables of their own. */
class Tally {
  readonly #counts = new Map<string, PortDrops>();

  constructor(private readonly nameOf: (direction: Direction) => string) {}

  add(set: string, elements: readonly unknown[]): void {
    const direction = DIRECTIONS.find((one) => this.nameOf(one) === set);
    if (direction === undefined) return;
    for (const element of elements) {
      const { val: device, counter } = TALLIED.parse(element).elem;
      const key = `${direction} ${device}`;
      const { packets = 0, bytes = 0 } = this.#counts.get(key) ?? {};
      const sum = { packets: packets + counter.packets, bytes: bytes + counter.bytes };
      this.#counts.set(key, { device, direction, ...sum });
    }
  }

  list(): readonly PortDrops[] {
    return [...this.#counts.values()];
  }
}

function flowOf(chain: string, element: unknown): AuditedFlow {
  const { val, counter } = FLOW.parse(element).elem;
  const [device, source, destination, protocol, port] = val.concat;
  return { chain, device, source, destination, protocol, port, ...counter };
}

interface ListedRule {
  readonly chain: string;
  readonly comment?: string | undefined;
  readonly expr: readonly Readonly<Record<string, unknown>>[];
}

function counterOf(family: string, rule: ListedRule): RuleCounter | undefined {
  const counter = COUNTER.safeParse(rule.expr.find((part) => 'counter' in part)?.['counter']);
  if (!counter.success) return undefined;
  const { digest, label: text } = readComment(rule.comment ?? '');
  const isAudited = text.startsWith(AUDIT) || rule.chain === AUDIT_PASSED;
  const whole = isAudited ? text.replace(AUDIT, '') : text;
  const isNoise = whole.startsWith(NOISE);
  return {
    family,
    chain: rule.chain,
    digest,
    label: isNoise ? whole.slice(NOISE.length) : whole,
    verdict: isAudited ? 'would-drop' : rule.expr.some((part) => 'drop' in part) ? 'drop' : 'accept',
    isNoise,
    ...counter.data,
  };
}
