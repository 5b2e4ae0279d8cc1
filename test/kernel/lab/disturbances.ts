/**
 * What somebody else did to our rules, for as long as the kernel was seen to hold something else than a version of the policy. Begins
 * when it was ordered, ends with the kernel's notice of the transaction that mended it: nobody is asked how long that may take.
 */

/** What the witness saw of our table. */
export interface Notice {
  /** Somebody opened it; it was closed whole; it holds a version again. */
  readonly what: 'opened' | 'closed' | 'healed';
  /** When the notice was read; the commit was before. */
  readonly at: number;
}

interface Disturbance {
  readonly name: string;
  /** Nothing was done yet. */
  readonly orderedAt: number;
  openedAt: number | undefined;
  closedAt: number | undefined;
  healedAt: number | undefined;
}

export class Disturbances {
  readonly #all: Disturbance[] = [];

  /** To be called before it is ordered; the one before is over. */
  begin(name: string, orderedAt: number): void {
    if (!this.areOver) throw new Error(`${name} begins before ${this.#all.at(-1)?.name ?? ''} is over`);
    this.#all.push({ name, orderedAt, openedAt: undefined, closedAt: undefined, healedAt: undefined });
  }

  /** To be called in the order of the notices. */
  saw({ what, at }: Notice): void {
    const last = this.#all.at(-1);
    if (last === undefined || last.healedAt !== undefined) throw new Error(`at ${at.toString()}: ${what} by nobody`);
    if (what === 'opened') last.openedAt ??= at;
    else if (what === 'closed') last.closedAt ??= at;
    else last.healedAt = at;
  }

  get areOver(): boolean {
    return this.#all.every(({ healedAt }) => healedAt !== undefined);
  }

  /** What may have been the case between two moments: `open` is anything, `closed` means that nothing need pass. */
  between(from: number, until: number): 'open' | 'closed' | 'undisturbed' {
    const during = this.#all.filter(({ orderedAt, healedAt = Infinity }) => orderedAt <= until && healedAt >= from);
    if (during.length === 0) return 'undisturbed';
    return during.some(({ closedAt, healedAt }) => from <= (closedAt ?? healedAt ?? Infinity)) ? 'open' : 'closed';
  }

  /** For how long each was open as the kernel's notices have it, in milliseconds, by what it was. */
  openings(): ReadonlyMap<string, readonly number[]> {
    const openings = new Map<string, number[]>();
    for (const { name, openedAt, closedAt, healedAt } of this.#all) {
      const end = closedAt ?? healedAt;
      if (openedAt === undefined || end === undefined) continue;
      openings.set(name, [...(openings.get(name) ?? []), Math.round(10 * (end - openedAt)) / 10]);
    }
    return openings;
  }
}
