/**
 * What happens in an agent, as data: one stream, which the log, the figures and the status observe. Whoever tells it says what happened; what is
 * said of it, counted or kept is the observer's.
 */
import type { Datapath } from '../compiler/index.js';
import type { Isolation } from '../compiler/model/index.js';
import type { Overtaking } from './backends/backend.js';
import type { Opened } from './closing.js';
import type { SweepResult } from './flows/sweeper.js';
import type { BackendName } from './kernel/backend-name.js';

/** A transaction is in the kernel, or a comparison found nothing to change. */
export interface Applied {
  readonly kind: 'applied';
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

/** What the reconcile loop tells. */
export type LoopEvent =
  | Applied
  /** A transaction failed; `retryIn` in milliseconds. */
  | { readonly kind: 'not-applied'; readonly error: Error; readonly retryIn: number }
  /** nft makes a transaction: why it was not made without. */
  | { readonly kind: 'by-nft'; readonly why: string }
  /** nft had to say what is loaded: what was not known again without. */
  | { readonly kind: 'read-by-nft'; readonly why: string }
  /** Somebody else changed our tables. */
  | { readonly kind: 'foreign-change'; readonly pid: number; readonly program: string }
  /** What is loaded was not what was wanted, and nobody's change was noticed. */
  | { readonly kind: 'drift-found'; readonly changes: number }
  /** Tables were closed at once: after what somebody did to them, or since nothing can be loaded. */
  | { readonly kind: 'closed'; readonly opened: readonly Opened[] }
  /** What is open could not be closed without nft. */
  | { readonly kind: 'not-closed'; readonly opened: readonly Opened[]; readonly why: string }
  /** Rules of others stood before ours, which go back to the front. */
  | { readonly kind: 'overtaken'; readonly overtaking: readonly Overtaking[] }
  /** nft does not say what rules do in a form that is known: only their comments are compared. */
  | { readonly kind: 'bodies-unknown' }
  /** The kernel refuses the rules of these ports, by id and why: they are closed. */
  | { readonly kind: 'ports-refused'; readonly ports: ReadonlyMap<string, string> };

export type AgentEvent =
  | LoopEvent
  | {
      readonly kind: 'started';
      readonly host: string;
      readonly source: string;
      readonly datapath: Datapath;
      readonly backend: BackendName;
      readonly audit: boolean;
    }
  | { readonly kind: 'reload' }
  | { readonly kind: 'stopped' }
  /** A socket or an address cannot be served. */
  | { readonly kind: 'not-served'; readonly what: string; readonly where: string; readonly why: string }
  | { readonly kind: 'loaded-unreadable'; readonly why: string }
  | { readonly kind: 'watch-lost'; readonly why: string }
  /** The watching process took back what somebody added to our tables. */
  | { readonly kind: 'taken-back'; readonly changes: number }
  /** What enforcement hangs on is not as it must be; without a fault it is right again. */
  | { readonly kind: 'switched'; readonly fault: string | undefined }
  | { readonly kind: 'source-stale'; readonly problems: readonly string[] }
  | { readonly kind: 'source-well' }
  | { readonly kind: 'problem'; readonly problem: string }
  | { readonly kind: 'accepted' }
  | { readonly kind: 'released'; readonly device: string }
  /**
   * @param ports ids of this host's ports that are concerned.
   * @param isHere false where it concerns other hosts alone.
   */
  | {
      readonly kind: 'isolated';
      readonly isolation: Isolation;
      readonly ports: readonly string[];
      readonly isHere: boolean;
    }
  /** So many more objects than were told are isolated. */
  | { readonly kind: 'more-isolated'; readonly count: number }
  | { readonly kind: 'not-isolated'; readonly name: string }
  /** Networks of this host share an address, in words. */
  | { readonly kind: 'overlap'; readonly overlap: string }
  | ({ readonly kind: 'flows-judged' } & SweepResult)
  /** Live flows cannot be looked at, or (before the first load) not be taken over. */
  | { readonly kind: 'flows-unseen'; readonly isAtFirst: boolean; readonly why: string }
  /** Rules of others write whole marks. */
  | { readonly kind: 'marks-written'; readonly suspects: readonly string[] }
  /** Marks of so many live flows were written over, by these or by nobody that can be found. */
  | { readonly kind: 'marks-overwritten'; readonly flows: number; readonly suspects: readonly string[] };

export type Tell = (event: AgentEvent) => void;
