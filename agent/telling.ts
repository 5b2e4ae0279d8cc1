/** What the reconcile loop says of itself, as lines of the log, figures and what the status has of them. */
import type { HostCompiler } from '../compiler/index.js';
import type { SweepResult } from './flows/sweeper.js';
import type { Log } from './log.js';
import type { Metrics } from './metrics.js';
import type { AppliedTransaction, EnforcerListener } from './reconciliation.js';
import type { AgentStatus } from './status.js';

type Told = Omit<EnforcerListener, 'onFirstLoad' | 'onTouched' | 'onClosing' | 'onOwnCommit'>;

export class Telling implements Told {
  #isBlind = false;
  #lastTransaction: AgentStatus['lastTransaction'];
  #drift = { foreign: 0, found: 0, last: undefined as string | undefined };
  #flows = { revoked: 0, restored: 0 };
  #saidOverlaps: ReadonlySet<string> = new Set();

  constructor(
    private readonly log: Log,
    private readonly metrics: Metrics,
  ) {}

  get lastTransaction(): AgentStatus['lastTransaction'] {
    return this.#lastTransaction;
  }

  get drift(): AgentStatus['drift'] {
    return this.#drift;
  }

  get flows(): AgentStatus['flows'] {
    return this.#flows;
  }

  readonly onApplied: Told['onApplied'] = ({ changes, way, reason, milliseconds, latency }: AppliedTransaction) => {
    this.#lastTransaction = {
      at: new Date().toISOString(),
      way,
      reason,
      milliseconds: round(milliseconds),
      latencyMilliseconds: round(latency),
    };
    this.metrics.transactions.inc({ way });
    this.metrics.applySeconds.observe(milliseconds / 1000);
    this.metrics.changeSeconds.observe(latency / 1000);
    this.log.info(
      {
        id: 'applied',
        way,
        ...(reason === '' ? {} : { reason }),
        changes,
        milliseconds: round(milliseconds),
      },
      changes === 0 ? 'nothing to change' : 'applied',
    );
  };

  readonly onFailed: Told['onFailed'] = (error, retryIn) => {
    this.metrics.failures.inc();
    this.log.error(
      { id: 'not-applied', retryInMilliseconds: retryIn },
      `not applied, the former rules stand: ${error.message}`,
    );
  };

  readonly onForeignChange: Told['onForeignChange'] = (pid, program) => {
    this.#drift.foreign++;
    this.#drift.last = `${program} (process ${pid.toString()})`;
    this.metrics.drift.inc({ kind: 'foreign' });
    this.log.warn({ id: 'foreign-change', pid, program }, 'our tables were changed by somebody else: comparing');
  };

  readonly onDrift: Told['onDrift'] = (changes) => {
    this.#drift.found++;
    this.metrics.drift.inc({ kind: 'found' });
    this.log.warn({ id: 'drift-found', changes }, 'what is loaded is not what we left there: it is put right');
  };

  readonly onClosed: Told['onClosed'] = (opened) => {
    this.log.warn({ id: 'closed', tables: opened.map(({ family }) => family) }, 'closed until what is loaded is known');
  };

  readonly onNotClosed: Told['onNotClosed'] = (opened, why) => {
    this.log.error(
      { id: 'not-closed', tables: opened.map(({ family }) => family) },
      `what is open cannot be closed that way: ${why}`,
    );
  };

  readonly onOvertaken: Told['onOvertaken'] = (overtaking) => {
    for (const { rule, isTerminal } of overtaking) {
      const what = isTerminal ? 'a rule at which packets may end' : 'a rule of others';
      const say = isTerminal ? this.log.warn.bind(this.log) : this.log.info.bind(this.log);
      say({ id: 'overtaken' }, `before ours stands ${what}; ours go back to the front: ${rule}`);
    }
  };

  readonly onBlind: Told['onBlind'] = () => {
    if (!this.#isBlind)
      this.log.error(
        { id: 'bodies-unknown' },
        'nft does not say what rules do in a form that is known: only comments are compared',
      );
    this.#isBlind = true;
  };

  readonly onIsolated: Told['onIsolated'] = (ports) => {
    for (const [port, why] of ports) {
      this.log.error({ id: 'port-refused', port }, `closed, since the kernel refuses its rules: ${why}`);
    }
  };

  /** Live flows were judged. */
  swept({ revoked, restored, looked, milliseconds }: SweepResult): void {
    this.#flows.revoked += revoked;
    this.#flows.restored += restored;
    this.metrics.flows.inc({ what: 'revoked' }, revoked);
    this.metrics.flows.inc({ what: 'restored' }, restored);
    this.metrics.sweepSeconds.observe(milliseconds / 1000);
    if (revoked + restored > 0) {
      const figures = { revoked, restored, looked, milliseconds: round(milliseconds) };
      this.log.info({ id: 'flows-judged', ...figures }, 'live flows were judged anew');
    }
  }

  /** Says which addresses networks of this host share, where that is news. */
  sayOverlaps(compiler: Pick<HostCompiler, 'overlaps'>): void {
    const overlaps = compiler.overlaps();
    for (const overlap of overlaps) {
      if (!this.#saidOverlaps.has(overlap)) this.log.warn({ id: 'overlap' }, overlap);
    }
    this.#saidOverlaps = new Set(overlaps);
  }
}

function round(milliseconds: number): number {
  return Math.round(10 * milliseconds) / 10;
}
