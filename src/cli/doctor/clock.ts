/** The clock: whose time is not ours believes no certificate and no token. Compared with what the source says, or else by who keeps it. */
import { get as getHttp } from 'node:http';
import { get as getHttps } from 'node:https';
import type { IncomingMessage } from 'node:http';
import { ok, unknown, warning, type Finding } from './finding.js';

/** What an answer may say wrongly by itself, which has whole seconds, and takes its time. */
const TOLERANCE_MS = 5000;
/** For an answer. */
const PATIENCE_MS = 5000;

const SYNCHRONISE = 'timedatectl set-ntp true, or install chrony';

export type ClockFacts =
  /** Nothing is asked elsewhere. */
  | { readonly kind: 'not-needed' }
  | {
      readonly kind: 'compared';
      readonly url: string;
      /** How far ours is ahead of theirs, in milliseconds. */
      readonly ahead: number;
    }
  /** @property isSynchronised undefined where nobody says. */
  | { readonly kind: 'kept'; readonly isSynchronised: boolean | undefined; readonly why: string };

export function judgeClock(facts: ClockFacts): Finding {
  switch (facts.kind) {
    case 'not-needed':
      return ok('no remote source is known (--source): nothing is compared with others’ clocks');
    case 'compared': {
      const seconds = Math.round(Math.abs(facts.ahead) / 1000).toString();
      if (Math.abs(facts.ahead) <= TOLERANCE_MS) return ok(`as that of ${facts.url}`);
      return warning(
        `${seconds} s ${facts.ahead > 0 ? 'ahead of' : 'behind'} that of ${facts.url}: tokens and certificates may not be believed`,
        SYNCHRONISE,
      );
    }
    case 'kept':
      if (facts.isSynchronised === undefined) return unknown(facts.why, 'timedatectl status, or chronyc tracking');
      return facts.isSynchronised
        ? ok('it is synchronised (timedatectl)')
        : warning('it is not synchronised (timedatectl)', SYNCHRONISE);
  }
}

export interface Credentials {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

/** How far our clock is ahead of that of whoever answers there, in milliseconds. Rejects where nobody does, or none is said. */
export async function aheadOf(url: string, credentials: Credentials = {}): Promise<number> {
  const before = Date.now();
  const date = await new Promise<string>((resolve, reject) => {
    const heard = (response: IncomingMessage): void => {
      response.resume();
      if (response.headers.date === undefined) reject(new Error(`${url} does not say its time`));
      else resolve(response.headers.date);
    };
    const limits = { timeout: PATIENCE_MS, agent: false } as const;
    const asked = url.startsWith('https:')
      ? getHttps(url, { ...limits, ...credentials }, heard)
      : getHttp(url, limits, heard);
    asked.on('timeout', () => asked.destroy(new Error(`no answer within ${(PATIENCE_MS / 1000).toString()} s`)));
    asked.on('error', reject);
  });
  const theirs = Date.parse(date);
  if (Number.isNaN(theirs)) throw new Error(`${url} says ${JSON.stringify(date)} for its time`);
  // A whole second begins up to a second earlier.
  return (before + Date.now()) / 2 - (theirs + 500);
}
