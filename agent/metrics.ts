/** What the agent counts, for Prometheus. Names and units follow its conventions: seconds, totals. */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';

const LATENCY_BUCKETS = [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10];

export class Metrics {
  readonly registry = new Registry();
  readonly transactions = new Counter({
    name: 'portcullis_transactions_total',
    help: 'Transactions that the kernel took, by way: the changes alone, or everything compared.',
    labelNames: ['way'],
    registers: [this.registry],
  });
  readonly failures = new Counter({
    name: 'portcullis_transaction_failures_total',
    help: 'Transactions that failed; nothing of them was applied.',
    registers: [this.registry],
  });
  readonly applySeconds = new Histogram({
    name: 'portcullis_apply_seconds',
    help: 'Time of a transaction in nft and the kernel.',
    buckets: LATENCY_BUCKETS,
    registers: [this.registry],
  });
  readonly changeSeconds = new Histogram({
    name: 'portcullis_change_to_kernel_seconds',
    help: 'From when a change was known to when the kernel enforced it.',
    buckets: LATENCY_BUCKETS,
    registers: [this.registry],
  });
  readonly drift = new Counter({
    name: 'portcullis_drift_total',
    help: 'Changes to our tables that were not ours: noticed at once (foreign), or found by verification (found).',
    labelNames: ['kind'],
    registers: [this.registry],
  });
  readonly flows = new Counter({
    name: 'portcullis_flows_total',
    help: 'Live flows that were cut (revoked) or let go on (restored).',
    labelNames: ['what'],
    registers: [this.registry],
  });
  readonly sweepSeconds = new Histogram({
    name: 'portcullis_flow_sweep_seconds',
    help: 'Time to list, judge and mark flows.',
    buckets: LATENCY_BUCKETS,
    registers: [this.registry],
  });

  constructor() {
    collectDefaultMetrics({ register: this.registry });
  }

  /** A figure that is asked for when it is read. */
  gauge(name: string, help: string, value: () => number): void {
    const gauge: Gauge = new Gauge({
      name,
      help,
      registers: [this.registry],
      collect: () => {
        gauge.set(value());
      },
    });
  }
}
