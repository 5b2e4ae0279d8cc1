/** What a check says. */

/**
 * `ok`; `warning`: something may go wrong, or a part of the traffic does not pass as the policy says; `failed`: it cannot be enforced, or
 * is not; `unknown`: it cannot be told, which is never taken for well.
 */
export type Result = 'ok' | 'warning' | 'failed' | 'unknown';

export interface Finding {
  readonly result: Result;
  /** What was seen, in one line. */
  readonly reason: string;
  /** The command, option or setting that mends it; absent where there is nothing to mend, or nobody but a person can say. */
  readonly mend?: string;
}

export interface CheckedFinding extends Finding {
  /** Name of the check. */
  readonly check: string;
}

export function ok(reason: string): Finding {
  return { result: 'ok', reason };
}

export function warning(reason: string, mend?: string): Finding {
  return { result: 'warning', reason, ...(mend === undefined ? {} : { mend }) };
}

export function failed(reason: string, mend?: string): Finding {
  return { result: 'failed', reason, ...(mend === undefined ? {} : { mend }) };
}

export function unknown(reason: string, mend?: string): Finding {
  return { result: 'unknown', reason, ...(mend === undefined ? {} : { mend }) };
}

/** From best to worst. */
const ORDER: readonly Result[] = ['ok', 'warning', 'unknown', 'failed'];

export function worstOf(findings: readonly Finding[]): Result {
  return findings.reduce<Result>(
    (worst, { result }) => (ORDER.indexOf(result) > ORDER.indexOf(worst) ? result : worst),
    'ok',
  );
}

/** More of a kind than this are counted. */
const MOST_NAMED = 8;

/** Names, of many the first ones. */
export function named(names: readonly string[]): string {
  const more = names.length - MOST_NAMED;
  return more > 0 ? `${names.slice(0, MOST_NAMED).join(', ')} and ${more.toString()} more` : names.join(', ');
}
