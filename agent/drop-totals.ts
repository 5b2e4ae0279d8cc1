/**
 * How many packets were not let through, as totals that only grow: the sets in which rules count forget a device that nothing is counted
 * for, and go with their table; rules of iptables count from zero when they are written. What was counted before this process began is left out: its totals begin at zero.
 */
import { auditTallySetName, directionOfChain, TABLE_FAMILIES, TABLE_NAME, tallySetName } from '../compiler/index.js';
import type { Direction } from '../compiler/model/index.js';
import type { BackendName } from './kernel/backend-name.js';
import { KernelError } from './kernel/errors.js';
import { readIptablesCounters } from './kernel/iptables-counters.js';
import { NetlinkError } from './netlink/socket.js';
import { packetsInSet } from './netlink/tables.js';
import { SingleFlight } from './single-flight.js';

const SETS = (['egress', 'ingress'] as const).flatMap((direction) => [
  { what: 'dropped' as const, direction, set: tallySetName(direction) },
  { what: 'audited' as const, direction, set: auditTallySetName(direction) },
]);

/** What a set says of a device. */
interface Sample {
  readonly what: keyof DropTotals;
  readonly direction: Direction;
  readonly key: string;
  readonly packets: number;
}

export interface DropTotals {
  /** Packets since this process began. */
  readonly dropped: Readonly<Record<Direction, number>>;
  /** In audit mode: those that would have been dropped. */
  readonly audited: Readonly<Record<Direction, number>>;
}

export class DropCounter {
  readonly #totals = { dropped: { egress: 0, ingress: 0 }, audited: { egress: 0, ingress: 0 } };
  /** What each set said last of each device; undefined until it was read once. */
  #last: ReadonlyMap<string, number> | undefined;
  readonly #reading = new SingleFlight(async () => this.#readNow());

  constructor(
    private readonly backend: BackendName,
    private readonly read = packetsInSet,
    private readonly readRules = readIptablesCounters,
  ) {}

  /** The totals now; where the kernel does not say them, those of before. Who asks while they are read gets what is read. */
  async totals(): Promise<DropTotals> {
    await this.#reading.join().catch((error: unknown) => {
      if (!(error instanceof NetlinkError || error instanceof KernelError)) throw error;
    });
    return this.#totals;
  }

  async #readNow(): Promise<void> {
    const now: Sample[] = [];
    for (const { what, direction, set } of SETS) {
      for (const family of TABLE_FAMILIES) {
        const devices = await this.read(family, TABLE_NAME, set);
        for (const [device, packets] of devices)
          now.push({ what, direction, key: `${family} ${set} ${device}`, packets });
      }
    }
    // Where iptables judges, tables of nftables drop what it never sees.
    for (const { family, chain, label, verdict, packets } of this.backend === 'iptables'
      ? await this.readRules()
      : []) {
      if (verdict !== 'drop') continue;
      now.push({ what: 'dropped', direction: directionOfChain(chain), key: `${family} ${chain} ${label}`, packets });
    }
    // Read to the end: what was read of a half would be counted twice.
    const before = this.#last;
    this.#last = new Map(now.map(({ key, packets }) => [key, packets]));
    if (before === undefined) return;
    for (const { what, direction, key, packets } of now) {
      this.#totals[what][direction] += growth(before.get(key) ?? 0, packets);
    }
  }
}

/** A count that is smaller than it was began anew. */
function growth(before: number, now: number): number {
  return now < before ? now : now - before;
}
