/** What the agent counts, for Prometheus. Names and units follow its conventions: seconds, totals. */
import { readdirSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { AgentEvent } from './events.js';

const LATENCY_BUCKETS = [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10];

export class Metrics {
  readonly registry = new Registry();
  readonly #transactions = new Counter({
    name: 'portcullis_transactions_total',
    help: 'Transactions that the kernel took, by way: the changes alone, or everything compared.',
    labelNames: ['way'],
    registers: [this.registry],
  });
  readonly #failures = new Counter({
    name: 'portcullis_transaction_failures_total',
    help: 'Transactions that failed; nothing of them was applied.',
    registers: [this.registry],
  });
  readonly #applySeconds = new Histogram({
    name: 'portcullis_apply_seconds',
    help: 'Time of a transaction in nft and the kernel.',
    buckets: LATENCY_BUCKETS,
    registers: [this.registry],
  });
  readonly #changeSeconds = new Histogram({
    name: 'portcullis_change_to_kernel_seconds',
    help: 'From when a change was known to when the kernel enforced it.',
    buckets: LATENCY_BUCKETS,
    registers: [this.registry],
  });
  readonly #drift = new Counter({
    name: 'portcullis_drift_total',
    help: 'Changes to our tables that were not ours: noticed at once (foreign), or found by verification (found).',
    labelNames: ['kind'],
    registers: [this.registry],
  });
  readonly #flows = new Counter({
    name: 'portcullis_flows_total',
    help: 'Live flows that were cut (revoked) or let go on (restored).',
    labelNames: ['what'],
    registers: [this.registry],
  });
  readonly #sweepSeconds = new Histogram({
    name: 'portcullis_flow_sweep_seconds',
    help: 'Time to list, judge and mark flows.',
    buckets: LATENCY_BUCKETS,
    registers: [this.registry],
  });

  constructor() {
    this.#ofProcess();
    // From the start, so that the first event is one that something can be compared with.
    for (const way of ['changes', 'everything']) this.#transactions.inc({ way }, 0);
    for (const kind of ['foreign', 'found']) this.#drift.inc({ kind }, 0);
    for (const what of ['revoked', 'restored']) this.#flows.inc({ what }, 0);
  }

  /** Counts what happens. */
  hear(event: AgentEvent): void {
    switch (event.kind) {
      case 'applied':
        this.#transactions.inc({ way: event.way });
        this.#applySeconds.observe(event.milliseconds / 1000);
        this.#changeSeconds.observe(event.latency / 1000);
        return;
      case 'not-applied':
        this.#failures.inc();
        return;
      case 'foreign-change':
        this.#drift.inc({ kind: 'foreign' });
        return;
      case 'drift-found':
        this.#drift.inc({ kind: 'found' });
        return;
      case 'flows-judged':
        this.#flows.inc({ what: 'revoked' }, event.revoked);
        this.#flows.inc({ what: 'restored' }, event.restored);
        this.#sweepSeconds.observe(event.milliseconds / 1000);
        return;
      default:
        // The rest is no figure.
        return;
    }
  }

  /**
   * Of the process, by the names that Prometheus gives them. Not prom-client's own: these watch the event loop by a timer of 10 ms,
   * a hundred times a second, and were nearly all that an agent did on a quiet host.
   */
  #ofProcess(): void {
    const cpu: Counter = new Counter({
      name: 'process_cpu_seconds_total',
      help: 'User and system time of the process, in seconds.',
      registers: [this.registry],
      collect: () => {
        const { user, system } = process.cpuUsage();
        cpu.reset();
        cpu.inc((user + system) / 1e6);
      },
    });
    const startedAt = Date.now() / 1000 - process.uptime();
    this.gauge('process_start_time_seconds', 'When the process started, in seconds since 1970.', () => startedAt);
    this.gauge('process_resident_memory_bytes', 'Memory of the process that is in use.', () =>
      process.memoryUsage.rss(),
    );
    this.gauge('nodejs_heap_size_used_bytes', 'Of the heap, what is in use.', () => process.memoryUsage().heapUsed);
    this.gauge('process_open_fds', 'Open file descriptors.', openFiles);
    let before = performance.eventLoopUtilization();
    this.gauge(
      'nodejs_eventloop_utilization',
      'Share of the time since the last look in which the event loop was at work; at 1 everything waits.',
      () => {
        const now = performance.eventLoopUtilization();
        const { utilization } = performance.eventLoopUtilization(now, before);
        before = now;
        return utilization;
      },
    );
  }

  /** A constant that says what runs. */
  info(name: string, help: string, labels: Readonly<Record<string, string>>): void {
    new Gauge({ name, help, labelNames: Object.keys(labels), registers: [this.registry] }).set(labels, 1);
  }

  /** Figures that are asked for together when they are read, by the values of a label: all of them, always. */
  gaugeBy(name: string, help: string, label: string, values: () => Readonly<Record<string, number>>): void {
    const gauge: Gauge = new Gauge({
      name,
      help,
      labelNames: [label],
      registers: [this.registry],
      collect: () => {
        for (const [of, value] of Object.entries(values())) gauge.set({ [label]: of }, value);
      },
    });
  }

  /** As {@link gaugeBy}, of totals. */
  totalsBy(name: string, help: string, label: string, totals: () => Promise<Readonly<Record<string, number>>>): void {
    const counter: Counter = new Counter({
      name,
      help,
      labelNames: [label],
      registers: [this.registry],
      collect: async () => {
        const now = Object.entries(await totals());
        counter.reset();
        for (const [of, total] of now) counter.inc({ [label]: of }, total);
      },
    });
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

/** Whoever has no descriptor left cannot count them. */
function openFiles(): number {
  try {
    return readdirSync('/proc/self/fd').length;
  } catch {
    return NaN;
  }
}
