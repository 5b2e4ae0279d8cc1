/**
 * Which revision each host's kernel holds, as the hosts say. In memory: they say it again within seconds. Where several processes
 * serve a store, what one of them is told goes through the store to all.
 */
import type { Reports } from '../store/store.js';
import type { HostReport } from '../../../compiler/model/index.js';

/** A host that says nothing for as long is not counted as alive; it speaks every 10 s. */
const ALIVE_MS = 30_000;
/** And after so long it is forgotten. */
const REMEMBERED_MS = 24 * 3_600_000;
const MOST_HOSTS = 100_000;
/**
 * Where nobody at all is heard for as long, nobody could be: this process was stopped, or cut off. Whoever was heard before that may count as
 * silent before it could speak again.
 */
const DEAF_MS = 15_000;

export interface HostView extends HostReport {
  readonly host: string;
  readonly alive: boolean;
  /** Since it spoke last. */
  readonly heard_seconds_ago: number;
  /** Since it has been behind the newest revision; null while it is not. */
  readonly behind_seconds: number | null;
}

interface Known {
  readonly report: HostReport;
  readonly heardAt: number;
  readonly behindSince: number | undefined;
}

/** On the monotonic clock. */
type Clock = () => number;

export class Hosts {
  readonly #known = new Map<string, Known>();
  /** Since when whoever speaks is heard. */
  #listeningSince: number;
  #heardAt: number | undefined;

  constructor(
    private readonly newest: () => number,
    private readonly reports?: Reports,
    private readonly now: Clock = () => performance.now(),
  ) {
    this.#listeningSince = now();
    reports?.follow((host, report) => {
      this.take(host, report);
    });
  }

  /** A host tells it here. @returns false where there are too many already. @throws StoreError */
  async say(host: string, report: HostReport): Promise<boolean> {
    if (this.reports === undefined) return this.take(host, report);
    await this.reports.say(host, report);
    return true;
  }

  /** Has hosts say how far they are that may be further than they said. */
  ask(): void {
    if (this.reports !== undefined && this.list().some(({ behind_seconds: seconds }) => seconds !== null)) {
      this.reports.ask();
    }
  }

  /** For how long hosts could speak here, in seconds: who has not spoken yet is not known to a process that has just begun, or is back. */
  get listeningSeconds(): number {
    return Math.floor((this.now() - this.#listeningSince) / 1000);
  }

  /** @returns false where there are too many already. */
  take(host: string, report: HostReport): boolean {
    const before = this.#known.get(host);
    if (before === undefined && this.#known.size >= MOST_HOSTS) return false;
    const now = this.now();
    if (this.#heardAt !== undefined && now - this.#heardAt > DEAF_MS) this.#listeningSince = now;
    this.#heardAt = now;
    const isBehind = (report.revision ?? -1) < this.newest();
    const behindSince = isBehind ? (before?.behindSince ?? now) : undefined;
    this.#known.set(host, { report, heardAt: now, behindSince });
    return true;
  }

  /** @returns false when it was not known. @throws StoreError */
  async forget(host: string): Promise<boolean> {
    await this.reports?.forget(host);
    return this.#known.delete(host);
  }

  /** By name. */
  list(): readonly HostView[] {
    const now = this.now();
    for (const [host, { heardAt }] of this.#known) if (now - heardAt > REMEMBERED_MS) this.#known.delete(host);
    const seconds = (since: number): number => Math.floor((now - since) / 1000);
    return [...this.#known]
      .sort(([one], [other]) => (one < other ? -1 : 1))
      .map(([host, { report, heardAt, behindSince }]) => ({
        host,
        ...report,
        alive: now - heardAt <= ALIVE_MS,
        heard_seconds_ago: seconds(heardAt),
        behind_seconds: (report.revision ?? -1) < this.newest() ? seconds(behindSince ?? now) : null,
      }));
  }
}
