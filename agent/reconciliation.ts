/** What the reconcile loop tells whoever runs it, and asks of them. */
import type { Touched } from '../compiler/index.js';
import type { ClosingsListener } from './closings.js';
import type { CommitOrder } from './watch/events.js';

export interface EnforcerListener extends ClosingsListener {
  /** Before rules are loaded where none are that live flows carry the bits of. */
  readonly onFirstLoad: () => Promise<void>;
  /**
   * After a transaction of changes: the addresses whose live flows may be judged otherwise now. After a comparison, before it is told:
   * those that no port has any more, or that were not filtered before.
   */
  readonly onTouched: (touched: Touched, isGrowth: boolean) => void;
  /** What the watching process must know: which transactions are ours. */
  readonly onOwnCommit: (order: CommitOrder) => void;
}
