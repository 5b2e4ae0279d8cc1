/**
 * Closes, in the watching process, what somebody opens: at once, with what the agent prepared beforehand. Nothing is asked and no
 * program is started, since each millisecond of it is one in which packets pass.
 *
 * The first message of a transaction that opens a table of ours is enough: the kernel tells after it has done. Whether that is the
 * agent's own work is known by then, too: it says so before it can begin.
 */
import { TABLE_FAMILIES, TABLE_NAME, type TableFamily } from '../../compiler/index.js';
import { closeTables, type Closing, type Opened } from '../closing.js';
import { batchBytes, batchLength, type NfTablesMessage } from '../netlink/nf-tables-batch.js';
import { NETLINK_NETFILTER, NFT_TABLE_F_DORMANT } from '../netlink/nf-tables-header.js';
import type { NfTablesEvent } from '../netlink/nf-tables.js';
import { NetlinkSocket } from '../netlink/socket.js';
import { OwnCommits, type OwnCommit } from '../own-commits.js';
import type { WatchEvent, WatchOrder } from './events.js';
import { WrapperWatch } from './wrapper.js';

/** Without a rule of these chains devices may be open; what the others lack closes. */
const BASE_CHAINS = new Set(['egress', 'ingress']);

type TableEvent = Extract<NfTablesEvent, { kind: 'table' }>;
type GenerationEvent = Extract<NfTablesEvent, { kind: 'generation' }>;

/** A transaction that touches tables of ours, as far as it was told. */
interface Touching {
  readonly portId: number;
  readonly generation16: number;
  readonly opened: Map<TableFamily, Opened['how']>;
  /** Of these, what nothing was done about yet. */
  open: Opened[];
  /** What takes back what was added, as far as nothing was done about it yet. */
  added: (() => NfTablesMessage)[];
  isClosing: boolean;
  mayBeOurs: boolean;
}

export class Closer {
  readonly #socket = new NetlinkSocket(NETLINK_NETFILTER);
  readonly #own = new OwnCommits();
  readonly #wrapper = new WrapperWatch(this.#socket.portId);
  /** Our transactions come from the sockets that the agent told of. Not so where nft has a wrapper that does not become it. */
  #arePortsKnown = false;
  /** The last one that is over, and made something. */
  #lastOver: OwnCommit | undefined;
  #closing: Closing | undefined;
  #touching: Touching | undefined;

  constructor(private readonly tell: (event: WatchEvent) => void) {}

  obey(order: WatchOrder): void {
    switch (order.kind) {
      case 'closing':
        this.#closing = order.closing;
        return;
      case 'own-begins':
        // Notices come in order: one that nobody told of in all that time was told of as somebody else's.
        if (this.#lastOver !== undefined && this.#own.has(this.#lastOver)) this.#arePortsKnown = false;
        this.#own.add({ before: order.before, after: undefined, portId: order.portId, awaited: 1 });
        return;
      case 'own-over': {
        if (order.isMade) this.#wrapper.made(order);
        const commit = this.#own.find(order.portId, order.before);
        if (commit === undefined) return;
        commit.after = order.after;
        if (order.after === order.before) this.#own.delete(commit);
        else if (order.isMade) this.#lastOver = commit;
      }
    }
  }

  /** Takes news of a table, or of the end of a transaction. */
  hear(event: NfTablesEvent): void {
    if (event.kind === 'generation') this.#wrapper.heard({ generation: event.id, portId: event.portId });
    // What we closed ourselves is no news.
    if (event.portId === this.#socket.portId) return;
    if (event.kind === 'generation') this.#ended(event);
    else if (event.table === TABLE_NAME) this.#touched(event);
  }

  #touched(event: TableEvent): void {
    const { portId, generation16 } = event;
    this.#touching ??= {
      portId,
      generation16,
      opened: new Map(),
      open: [],
      added: [],
      isClosing: false,
      mayBeOurs: false,
    };
    const touching = this.#touching;
    const isWaiting = touching.open.length + touching.added.length > 0;
    const family = TABLE_FAMILIES.find((one) => one === event.family);
    const how = openedBy(event);
    if (family === undefined) return;
    if (event.what.kind === 'rule' || event.what.kind === 'elements') touching.added.push(event.what.withdrawal);
    else if (how === undefined || touching.opened.get(family) === how) return;
    else {
      touching.opened.set(family, how);
      touching.open.push({ family, how });
    }
    if (!isWaiting) whenOrdersAreRead(() => void this.#answer(touching));
  }

  async #answer(touching: Touching): Promise<void> {
    const { open, added } = touching;
    touching.open = [];
    touching.added = [];
    if (this.#closing === undefined || this.#own.covers(touching.portId, touching.generation16)) return;
    // What may be ours is left to the comparison: rules of ours that are taken back would open.
    const mayBeOurs = !this.#arePortsKnown && this.#own.mayHaveMade(touching.generation16);
    // And what mends would be closed for ever.
    touching.mayBeOurs = mayBeOurs && this.#wrapper.isWrapped;
    if (touching.mayBeOurs) return;
    touching.isClosing = true;
    if (open.length > 0) await this.#close(this.#closing, open);
    if (added.length > 0 && !mayBeOurs) {
      await this.#withdraw(added.map((message) => message()));
    }
  }

  async #apply(messages: readonly NfTablesMessage[]): Promise<void> {
    return this.#socket.batch(batchLength(messages), (first) => batchBytes(messages, first));
  }

  /**
   * A rule or an element that is not ours can only be more than we let pass, or nothing: it goes, and no packet of anybody else is
   * held up, as closing would. What cannot be taken back (it is gone, it belongs to a rule) is left to the comparison.
   */
  async #withdraw(messages: readonly NfTablesMessage[]): Promise<void> {
    let count = messages.length;
    try {
      await this.#apply(messages);
    } catch {
      const results = await Promise.allSettled(messages.map(async (one) => this.#apply([one])));
      count = results.filter(({ status }) => status === 'fulfilled').length;
    }
    this.tell({ kind: 'withdrawn', count });
  }

  async #close(closing: Closing, opened: readonly Opened[]): Promise<void> {
    try {
      await closeTables(async (messages) => this.#apply(messages), closing, opened);
      this.tell({ kind: 'closed', opened, error: undefined });
    } catch (error) {
      this.tell({ kind: 'closed', opened, error: error instanceof Error ? error.message : String(error) });
    }
  }

  #ended({ id, portId, pid, program }: GenerationEvent): void {
    const touching = this.#touching;
    this.#touching = undefined;
    // Behind what was to be done about it.
    whenOrdersAreRead(() => {
      if (this.#own.claims(portId, id)) this.#arePortsKnown = true;
      if (touching === undefined) return;
      const opened = [...touching.opened].map(([family, how]) => ({ family, how }));
      const { isClosing, mayBeOurs } = touching;
      const change = { generation: id, portId, pid, program, opened, isClosing, mayBeOurs };
      this.tell({ kind: 'table-changed', change });
    });
  }
}

/**
 * Calls back when everything that the agent said before now was heard. It says so before a transaction of its own can begin, over a pipe; a notice
 * that is read in this turn of the event loop may be younger than the last look at that pipe, which the next turn begins with.
 */
function whenOrdersAreRead(callback: () => void): void {
  setImmediate(() => setImmediate(callback));
}

/** Undefined for what opens nothing. */
function openedBy({ what }: TableEvent): Opened['how'] | undefined {
  switch (what.kind) {
    case 'table':
      return (what.flags & NFT_TABLE_F_DORMANT) === 0 ? undefined : 'dormant';
    case 'table-gone':
      return 'gone';
    case 'rule-gone':
      return BASE_CHAINS.has(what.chain) ? 'gone' : undefined;
    case 'chain':
    case 'chain-gone':
    case 'rule':
    case 'elements':
    case 'other':
      return undefined;
  }
}
