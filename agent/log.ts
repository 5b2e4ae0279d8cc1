/**
 * What a daemon logs: lines, each of a kind that has a name of its own. The names are a contract, as options are: somebody looks for them,
 * and alerts on them, while words may become better ones (docs/man/portcullis-agent.8.md lists them).
 */

/** Every kind of line, and when it is logged. */
export const LOG_IDS = {
  started: 'the agent begins',
  stopped: 'it was asked to end; the rules stay',
  reload: 'it was asked to read its source again',
  applied: 'a transaction is in the kernel, or a comparison found nothing to change',
  'not-applied': 'a transaction failed; the former rules stand, it is tried again',
  'by-nft': 'nft made a transaction: what cannot be sent without it, or was refused so (at level debug)',
  'read-by-nft': 'nft had to say what is loaded: what was not known again without it (at level debug)',
  'foreign-change': 'somebody else changed our tables',
  'taken-back': 'what somebody added to our tables was taken back',
  'drift-found': 'a comparison found what no notice told of',
  closed: 'tables were closed until what is loaded is known, or can be loaded',
  'not-closed': 'what is open cannot be closed that way',
  overtaken: 'rules of others stood before ours in iptables',
  'bodies-unknown': 'nft does not say what rules do: only comments are compared',
  'loaded-unreadable': 'what is loaded cannot be read',
  'port-refused': 'the kernel refuses the rules of a port: it is closed',
  'watch-lost': 'the watching process is away',
  'switched-off': 'what enforcement hangs on is not as it must be (net.bridge.bridge-nf-call-*)',
  'switched-on': 'it is right again',
  'source-stale': 'the source cannot be used; the last good state stays',
  'source-well': 'the source can be used again',
  problem: 'something in the source is not as it could be',
  isolated: 'a bad object: its last good version is in force, or nothing of it',
  'not-isolated': 'it is well again, or gone',
  accepted: 'portcullis accept: the topology that was held back is obeyed',
  released: 'portcullis release: a former device is left alone',
  overlap: 'networks of this host share an address',
  'flows-judged': 'live flows were cut, or let go on',
  'flows-unseen': 'live flows cannot be looked at, or not be taken over',
  'marks-written': 'rules of others write whole marks, and ours with them',
  'datapath-found': 'the taps show how ports reach the host',
  'no-tap-yet': 'no tap does yet',
  'not-served': 'a socket or an address cannot be served; enforcement goes on',
  doctor: 'something on this host stands in the way, or cannot be told: portcullis doctor says all of it',
  'api-listens': 'the API takes requests',
  change: 'somebody changed something through the API: who, and what',
  unauthorized: 'somebody who is nobody asked the API',
  'token-refused': 'a token of the file of users was revoked',
  'request-failed': 'a request was answered with 500 or more',
  'store-away': 'the store does not answer: nothing can be changed',
  'store-well': 'it answers again',
  'lines-dropped': 'nobody read this log: so many lines are gone',
  defect: 'nobody expected that: the process ends with status 70',
} as const;

export type LogId = keyof typeof LOG_IDS;

type Write = (fields: { readonly id: LogId; readonly [field: string]: unknown }, text: string) => void;

export interface Log {
  readonly debug: Write;
  readonly info: Write;
  readonly warn: Write;
  readonly error: Write;
  readonly fatal: Write;
}

/** Levels of pino from which on a priority of syslog(3) holds, for sd-daemon(3). */
const PRIORITIES = [
  { level: 60, priority: '<2>' },
  { level: 50, priority: '<3>' },
  { level: 40, priority: '<4>' },
  { level: 30, priority: '<6>' },
] as const;

/** What stands before a line for the journal: its priority, `<3>` for an error. */
export function priorityOf(line: string): string {
  const level = Number(/^\{"level":(\d+)/.exec(line)?.[1] ?? 30);
  return PRIORITIES.find((one) => level >= one.level)?.priority ?? '<7>';
}
