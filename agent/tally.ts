/** The status's view of what happens: what came last, and how often something did. */
import { tenths } from './clock.js';
import type { AgentEvent } from './events.js';
import type { AgentStatus } from './status.js';

export class Tally {
  #lastTransaction: AgentStatus['lastTransaction'];
  #drift: AgentStatus['drift'] = { foreign: 0, found: 0, last: undefined };
  #flows: AgentStatus['flows'] = { revoked: 0, restored: 0 };

  get lastTransaction(): AgentStatus['lastTransaction'] {
    return this.#lastTransaction;
  }

  get drift(): AgentStatus['drift'] {
    return this.#drift;
  }

  get flows(): AgentStatus['flows'] {
    return this.#flows;
  }

  hear(event: AgentEvent): void {
    switch (event.kind) {
      case 'applied':
        this.#lastTransaction = {
          at: new Date().toISOString(),
          way: event.way,
          reason: event.reason,
          milliseconds: tenths(event.milliseconds),
          latencyMilliseconds: tenths(event.latency),
        };
        return;
      case 'foreign-change': {
        const { foreign, found } = this.#drift;
        const last = `${event.program} (process ${event.pid.toString()})`;
        this.#drift = { foreign: foreign + 1, found, last };
        return;
      }
      case 'drift-found':
        this.#drift = { ...this.#drift, found: this.#drift.found + 1 };
        return;
      case 'flows-judged': {
        const { revoked, restored } = this.#flows;
        this.#flows = { revoked: revoked + event.revoked, restored: restored + event.restored };
        return;
      }
      default:
        // Of the rest nothing is kept here.
        return;
    }
  }
}
