/** What the reconcile loop asks of a packet filter. */
import type { CompileOptions, HostCompiler, Stage, Touched, Transaction } from '../../compiler/index.js';
import type { Port, Prefix } from '../../compiler/model/index.js';
import type { Kernel } from '../kernel/driver.js';
import type { CommitRules } from '../kernel/iptables.js';

export interface Backend {
  /** What of another packet filter's rules of ours could not be removed, and why; it is tried again. They only take away. */
  readonly leftover: string | undefined;
  /** True where rules of ours are in iptables-nft, of whose changes the kernel tells. */
  readonly isInIptablesNft: boolean;
  /**
   * Reads back what is loaded and compares it with a compilation from scratch.
   * @param anew to replace everything of ours, whatever it looks like.
   * @param take is called just before it is compiled: changes until then are in it, and count as taken.
   */
  plan(anew: boolean, take: () => void): Promise<Comparison>;
  /** The steps that the incremental compiler gives, as steps of this packet filter. What is loaded must be known. */
  change(transaction: Transaction, touched: Touched): Plan;
  /**
   * Looks at what the kernel tells nobody of; undefined where it tells of everything.
   * @returns false when what is loaded is not what was carried out last. What came to the compiler since then counts as wrong.
   */
  look?(): Promise<boolean>;
  /** True when the kernel would take the rules of these ports alone; nothing is applied. */
  wouldTake(isLocal: (port: Port) => boolean): Promise<boolean>;
}

export interface Plan {
  /** How many there are; 0 when there is nothing to do. */
  readonly changes: number;
  /** @throws KernelError; then the former rules stand. */
  apply(): Promise<void>;
}

/** What leads from what was loaded to what was wanted when that was read. */
export interface Comparison extends Plan {
  /** False where only comments of rules could be compared with what is loaded, and not what the rules do. */
  readonly areBodiesKnown: boolean;
  /** Why nft had to say what tables of nf_tables hold; undefined where they were known again without. */
  readonly byNft: string | undefined;
  /** True when nothing that is loaded gives live flows the bits that these rules ask for. */
  readonly isFirst: boolean;
  /** What ports of this host may send from by what is loaded, and not by what is wanted: nobody may have told of it, while we were away. */
  readonly gone: readonly Prefix[];
  /** Rules of others that packets met before ours when what is loaded was read; ours go back to the front. */
  readonly overtaking: readonly Overtaking[];
  /** Reads back once more: how many changes it would take from there to what was wanted. What is wanted since then is no matter. */
  remaining(): Promise<number>;
}

export interface Overtaking {
  /** Where it stands, and what it is. */
  readonly rule: string;
  /** True when a packet may end there, and never gets to ours. */
  readonly isTerminal: boolean;
}

/** Makes one of these kinds. */
export type MakeBackend = (compiler: HostCompiler, options: CompileOptions, parts: BackendParts) => Backend;

/** What both kinds are made of. */
export interface BackendParts {
  readonly kernel: Kernel;
  /** Called when a transaction is in the kernel. */
  readonly onWritten: (transaction: Transaction) => void;
  /** Applies each as one transaction of nf_tables, one after the other: what nothing leads to yet. */
  readonly applyAhead: (pieces: readonly Transaction[]) => Promise<void>;
  /** Applies a stage as one transaction of nf_tables. */
  readonly applyStage: (stage: Stage) => Promise<void>;
  /** Runs a program that changes rules of iptables-nft. */
  readonly commitRules: CommitRules;
  readonly isLocal: (port: Port) => boolean;
}
