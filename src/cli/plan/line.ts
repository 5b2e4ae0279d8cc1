/** What a plan is made of, and of what it is made. */
import type { TableState } from '../../../compiler/index.js';
import type { ReadRule } from '../../../compiler/listing.js';

export interface PlanLine {
  readonly sign: '+' | '-' | '~';
  readonly kind: 'group' | 'members' | 'port' | 'rest';
  /** What of the kernel it speaks of: how the names of a group's chains and sets begin, or a device; '' for what is no group's and no port's. */
  readonly subject: string;
  /** Without the sign: `group web: ...`. */
  readonly text: string;
}

export interface Plan {
  readonly lines: readonly PlanLine[];
  /** Live flows that what is wanted does not admit; undefined where they could not be listed. */
  readonly cut: number | undefined;
}

/** What is loaded, or what is wanted. */
export interface Side {
  readonly state: TableState;
  readonly rules: (chain: string) => readonly ReadRule[];
}
