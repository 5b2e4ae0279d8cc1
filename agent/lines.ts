/** The log's view of what happens: which line an event is. */
import { formatIsolation } from '../compiler/model/index.js';
import { tenths } from './clock.js';
import type { AgentEvent } from './events.js';
import type { Log } from './log.js';

/** Ports in one line. */
const MOST_PORTS = 20;
/** Why nft makes a transaction is said once for each reason, of as many. */
const MOST_REASONS = 100;

export class Lines {
  #saidBlind = false;
  readonly #saidByNft = new Set<string>();

  constructor(private readonly log: Log) {}

  hear(event: AgentEvent): void {
    const { log } = this;
    switch (event.kind) {
      case 'started': {
        const { host, source, datapath, backend, audit } = event;
        log.info(
          { id: 'started', host, source, datapath, backend, pid: process.pid },
          audit ? 'started in audit mode: NOTHING IS ENFORCED' : 'started',
        );
        return;
      }
      case 'reload':
        log.info({ id: 'reload' }, 'asked to read again');
        return;
      case 'stopped':
        log.info({ id: 'stopped' }, 'stopped: the rules stay');
        return;
      case 'not-served':
        log.error({ id: 'not-served' }, `${event.what}: ${event.where}: ${event.why}`);
        return;
      case 'applied': {
        const { way, reason, changes, milliseconds } = event;
        log.info(
          { id: 'applied', way, ...(reason === '' ? {} : { reason }), changes, milliseconds: tenths(milliseconds) },
          changes === 0 ? 'nothing to change' : 'applied',
        );
        return;
      }
      case 'not-applied':
        log.error(
          { id: 'not-applied', retryInMilliseconds: event.retryIn },
          `not applied, the former rules stand: ${event.error.message}`,
        );
        return;
      case 'by-nft':
        if (this.#saidByNft.has(event.why) || this.#saidByNft.size >= MOST_REASONS) return;
        this.#saidByNft.add(event.why);
        log.debug({ id: 'by-nft' }, `nft makes this transaction: ${event.why}`);
        return;
      case 'read-by-nft':
        log.debug({ id: 'read-by-nft' }, `nft said what is loaded: ${event.why}`);
        return;
      case 'foreign-change':
        log.warn(
          { id: 'foreign-change', pid: event.pid, program: event.program },
          'our tables were changed by somebody else: comparing',
        );
        return;
      case 'taken-back':
        log.warn(
          { id: 'taken-back', way: 'withdrawal', changes: event.changes },
          'applied: what somebody added to our tables was taken back',
        );
        return;
      case 'drift-found':
        log.warn(
          { id: 'drift-found', changes: event.changes },
          'what is loaded is not what we left there: it is put right',
        );
        return;
      case 'closed':
        log.warn({ id: 'closed', tables: familiesOf(event) }, 'closed until what is loaded is known');
        return;
      case 'not-closed':
        log.error(
          { id: 'not-closed', tables: familiesOf(event) },
          `what is open cannot be closed that way: ${event.why}`,
        );
        return;
      case 'overtaken':
        for (const { rule, isTerminal } of event.overtaking) {
          const what = isTerminal ? 'a rule at which packets may end' : 'a rule of others';
          const text = `before ours stands ${what}; ours go back to the front: ${rule}`;
          if (isTerminal) log.warn({ id: 'overtaken' }, text);
          else log.info({ id: 'overtaken' }, text);
        }
        return;
      case 'bodies-unknown':
        if (!this.#saidBlind)
          log.error(
            { id: 'bodies-unknown' },
            'nft does not say what rules do in a form that is known: only comments are compared',
          );
        this.#saidBlind = true;
        return;
      case 'loaded-unreadable':
        log.error({ id: 'loaded-unreadable' }, `what is loaded cannot be read: ${event.why}`);
        return;
      case 'ports-refused':
        for (const [port, why] of event.ports) {
          log.error({ id: 'port-refused', port }, `closed, since the kernel refuses its rules: ${why}`);
        }
        return;
      case 'watch-lost':
        log.warn({ id: 'watch-lost' }, `${event.why}: everything is compared when it is back`);
        return;
      case 'switched':
        if (event.fault === undefined) log.info({ id: 'switched-on' }, 'what enforcement hangs on is right again');
        else log.error({ id: 'switched-off' }, event.fault);
        return;
      case 'source-stale':
        log.error(
          { id: 'source-stale', problems: event.problems.length },
          `the source cannot be used, the last good state stays: ${event.problems[0] ?? 'no reason given'}`,
        );
        return;
      case 'source-well':
        log.info({ id: 'source-well' }, 'the source is well again');
        return;
      case 'problem':
        log.debug({ id: 'problem' }, event.problem);
        return;
      case 'accepted':
        log.warn({ id: 'accepted' }, 'told to obey the topology that was held back');
        return;
      case 'released':
        log.warn({ id: 'released', device: event.device }, 'told to leave alone a device that was a port’s once');
        return;
      case 'isolated': {
        const { isolation, ports, isHere } = event;
        const fields = ports.length === 0 ? {} : { ports: ports.slice(0, MOST_PORTS), concerned: ports.length };
        const text = `isolated, all else is enforced: ${formatIsolation(isolation)}`;
        if (isHere) log.error({ id: 'isolated', ...fields }, text);
        else log.warn({ id: 'isolated' }, text);
        return;
      }
      case 'more-isolated':
        log.error(
          { id: 'isolated' },
          `... and ${event.count.toString()} more bad objects: see portcullis status --json`,
        );
        return;
      case 'not-isolated':
        log.info({ id: 'not-isolated' }, `${event.name}: not isolated any more, it is well again or gone`);
        return;
      case 'overlap':
        log.warn({ id: 'overlap' }, event.overlap);
        return;
      case 'flows-judged': {
        const { revoked, restored, looked, milliseconds } = event;
        if (revoked + restored > 0)
          log.info(
            { id: 'flows-judged', revoked, restored, looked, milliseconds: tenths(milliseconds) },
            'live flows were judged anew',
          );
        return;
      }
      case 'flows-unseen':
        log.error(
          { id: 'flows-unseen' },
          event.isAtFirst ? `live flows cannot be taken over: ${event.why}` : `flows cannot be looked at: ${event.why}`,
        );
        return;
      case 'marks-written':
        log.warn(
          { id: 'marks-written' },
          `whole marks are written by rules of others, and our bits with them: ${event.suspects.join('; ')}. Keep other bits (ct mark set ct mark or ..., --set-xmark VALUE/MASK)`,
        );
        return;
      case 'marks-overwritten': {
        const who = event.suspects.length === 0 ? 'rules that cannot be found' : event.suspects.join('; ');
        log.warn(
          { id: 'marks-written', flows: event.flows },
          `conntrack marks are written over by ${who}: our bits are lost, revoked flows stay cut, and answers in allowed ones stop`,
        );
        return;
      }
    }
  }
}

function familiesOf({ opened }: Extract<AgentEvent, { kind: 'closed' | 'not-closed' }>): readonly string[] {
  return opened.map(({ family }) => family);
}
