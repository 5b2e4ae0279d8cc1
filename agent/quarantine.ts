/** Ports whose rules the kernel refuses: found, closed, and tried again later. */
import type { Port } from '../compiler/model/index.js';
import type { Backend } from './backends/backend.js';
import type { Clock } from './clock.js';
import { isolate } from './isolate.js';
import type { LiveTopology } from './live-topology.js';

/** Ports that the kernel refused are tried again after this time. */
const RETRY_REFUSED_MS = 30_000;

export interface QuarantineListener {
  /** Ports of this host changed: they were closed. */
  readonly onClosed: (ports: ReadonlyMap<string, Port>) => void;
  /** Ports of this host changed: they are to be tried again. */
  readonly onRetry: (ports: ReadonlyMap<string, Port>) => void;
}

export class Quarantine {
  constructor(
    private readonly live: LiveTopology,
    private readonly backend: Pick<Backend, 'wouldTake'>,
    private readonly clock: Clock,
    private readonly listener: QuarantineListener,
  ) {}

  /** Closes the ports without which the kernel takes the rest. Throws the error when no port is at fault. */
  async isolate(error: Error): Promise<void> {
    // Somebody else's change between our look and our transaction looks the same: only what is refused by itself counts.
    const all = [...this.live.ports()].filter(({ filtering }) => filtering !== 'down');
    const found = await isolate(all, async (ports) => {
      const ids = new Set(ports.map(({ id }) => id));
      return this.backend.wouldTake(({ id }) => ids.has(id));
    });
    if (found === 'not the ports' || found.length === 0) throw error;
    this.listener.onClosed(this.live.refuse(found, error.message));
    this.clock.after(RETRY_REFUSED_MS, () => {
      if (this.live.refusals.size > 0) this.listener.onRetry(this.live.refuseNone());
    });
  }
}
