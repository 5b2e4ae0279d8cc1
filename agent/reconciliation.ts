/** What the reconcile loop tells whoever runs it. */
import type { Touched } from '../compiler/index.js';
import type { Overtaking } from './backends/backend.js';
import type { ClosingsListener } from './closings.js';
import type { CommitOrder } from './watch/events.js';

export interface AppliedTransaction {
  /** How many there were; 0 when what is wanted was loaded. */
  readonly changes: number;
  /** `changes` is the short way. */
  readonly way: 'changes' | 'everything';
  /** Why the long way was taken. */
  readonly reason: string;
  /** Of the programs and the kernel alone. */
  readonly milliseconds: number;
  /** Since the oldest change in it was known. */
  readonly latency: number;
}

export interface EnforcerListener extends ClosingsListener {
  readonly onApplied: (applied: AppliedTransaction) => void;
  /** Before rules are loaded where none are that live flows carry the bits of. */
  readonly onFirstLoad: () => Promise<void>;
  /** After a transaction of changes: the addresses whose live flows may be judged otherwise now. */
  readonly onTouched: (touched: Touched, isGrowth: boolean) => void;
  readonly onFailed: (error: Error, retryIn: number) => void;
  /** Somebody else changed our tables. */
  readonly onForeignChange: (pid: number, program: string) => void;
  /** What is loaded was not what was wanted, and nobody's change was noticed. */
  readonly onDrift: (changes: number) => void;
  /** Rules of others stood before ours, which go back to the front. */
  readonly onOvertaken: (overtaking: readonly Overtaking[]) => void;
  readonly onIsolated: (ports: ReadonlyMap<string, string>) => void;
  /** What the watching process must know: which transactions are ours. */
  readonly onOwnCommit: (order: CommitOrder) => void;
  /** nft does not say what rules do in a form that is known: only their comments are compared. */
  readonly onBlind: () => void;
}
