/**
 * What is asked of the kernel, and given to it. The reconcile loop, the packet filters below it and the commands are given one, so that a
 * strict simulation can stand in its place.
 */
import {
  iptablesHoldsAdmission,
  type CompileOptions,
  type IptablesPlan,
  type IptablesProgram,
  type Stage,
  type Table,
  type TableFamily,
} from '../../compiler/index.js';
import type { Family } from '../../compiler/model/index.js';
import { closeTables, closingMessages, type Opened } from '../closing.js';
import { readGeneration } from '../netlink/generation.js';
import { addTable, type NfTablesMessage } from '../netlink/nf-tables-batch.js';
import { compareTables, type Compared, type WantedTables } from './compare.js';
import { KernelError } from './errors.js';
import {
  carryOut,
  defaultFlavour,
  leftIptables,
  listLeftIptables,
  listRules,
  listSets,
  readLoadedIptables,
  removeIptables,
  wouldTakeRules,
  type CarryOutOptions,
  type Flavour,
  type IptablesText,
} from './iptables.js';
import type { LoadedTable, RulesOfTable } from './loaded.js';
import { applyMessages, mostOfPiece, withoutNft, type Make, type WithoutNft } from './netlink-load.js';
import { applyText, loadedFamilies, readLoadedTables, readRulesOf, saveLoadedTables, wouldApply } from './nft.js';
import { devicesOf, whatIsOpen, type Open } from './open.js';
import { endPrograms } from './program.js';

export type { Make, WithoutNft };

/** Each of these rejects with KernelError, where nothing else is said. */
export interface Kernel {
  /** What a piece of a large transaction holds at most (compiler/nftables/ahead.ts). */
  readonly mostOfPiece: () => Promise<number>;
  /** The number of the last transaction of nf_tables. */
  readonly readGeneration: () => Promise<number>;
  /** The families of our tables; needs no nft. */
  readonly families: () => Promise<readonly TableFamily[]>;
  /** Devices that our table of this family knows, as ports' or as closed; needs no nft. */
  readonly devicesIn: (family: TableFamily) => Promise<readonly string[]>;
  /** Our tables, as they are loaded. */
  readonly readTables: () => Promise<readonly LoadedTable[]>;
  /** One of our tables with what its rules ask; undefined where it is not loaded, or another program owns it. */
  readonly readRules: (family: TableFamily) => Promise<RulesOfTable | undefined>;
  /** Our tables as text that loads them again; '' for none. */
  readonly saveTables: () => Promise<string>;
  /**
   * What is loaded of ours beside what is wanted; changes nothing.
   * @param wanted is asked once what is loaded was read, so that what came meanwhile is in it.
   */
  readonly compare: <W extends WantedTables>(wanted: () => W) => Promise<Compared<W>>;
  /** True when it would take the text; nothing is applied. */
  readonly wouldApply: (text: string) => Promise<boolean>;
  /** Applies nft text as one transaction: all of it, or nothing. */
  readonly applyText: (text: string, onPort?: (portId: number) => void) => Promise<void>;
  /** Loads tables that are not there, as one transaction; needs no nft. Rejects with NetlinkError, too. */
  readonly addTables: (tables: readonly Table[]) => Promise<void>;
  /** How a stage is applied as one transaction without nft, or why only nft can. */
  readonly withoutNft: (stage: Stage) => Promise<WithoutNft>;
  /** What of our tables closes nothing; needs no nft. */
  readonly whatIsOpen: () => Promise<Open>;
  /**
   * Closes tables that somebody opened; needs no nft.
   * @param commit is given each transaction, to make it.
   */
  readonly close: (closing: ToClose, commit: (make: Make) => Promise<void>) => Promise<void>;
  /** True when flows carry our bits by rules in iptables. */
  readonly isInIptables: () => Promise<boolean>;
  readonly iptables: IptablesPrograms;
  /** Ends whatever runs for us, and hangs. */
  readonly endPrograms: () => void;
}

/** The programs of iptables and ipset. */
export interface IptablesPrograms {
  /** Our chains and sets, as the kernel holds them. */
  readonly read: (flavour?: Flavour) => Promise<IptablesProgram>;
  /** What `ipset save` says of all sets, and `iptables-save` of all rules: for a look, which costs less than reading. */
  readonly listSets: () => Promise<string>;
  readonly listRules: (family: Family) => Promise<string>;
  /** What is loaded of ours, by flavour; none where there is nothing. */
  readonly left: () => Promise<ReadonlyMap<Flavour, IptablesProgram>>;
  /** The same, as it is listed: the form in which it can be kept, and told to another process. */
  readonly listLeft: () => Promise<ReadonlyMap<Flavour, IptablesText>>;
  readonly carryOut: (plan: Pick<IptablesPlan, 'steps'>, options?: CarryOutOptions) => Promise<void>;
  /** Removes what is ours but for the rules of these flavours, and the sets with them. False when there was nothing. */
  readonly remove: (kept: readonly Flavour[]) => Promise<boolean>;
  /** True when the kernel would take the rules; nothing is applied. */
  readonly wouldTake: (family: Family, text: string) => Promise<boolean>;
  /** Which of both `iptables` is here. */
  readonly defaultFlavour: () => Promise<'nft' | 'legacy'>;
}

export interface ToClose {
  readonly options: CompileOptions;
  /** Closed beside those of the managed prefixes. */
  readonly devices: readonly string[];
  readonly opened: readonly Opened[];
}

/** That of this machine. */
export const KERNEL: Kernel = {
  mostOfPiece,
  readGeneration,
  families: loadedFamilies,
  devicesIn: devicesOf,
  readTables: readLoadedTables,
  readRules: readRulesOf,
  saveTables: saveLoadedTables,
  compare: compareTables,
  wouldApply,
  applyText,
  addTables: async (tables) => applyMessages(tables.flatMap(addTable)),
  withoutNft,
  whatIsOpen,
  close: async ({ options, devices, opened }, commit) => {
    const apply = async (messages: readonly NfTablesMessage[]): Promise<void> =>
      commit(async (onPort) => applyMessages(messages, onPort));
    await closeTables(apply, closingMessages(options, devices), opened);
  },
  isInIptables,
  iptables: {
    read: readLoadedIptables,
    listSets,
    listRules: async (family) => listRules(family, 'default'),
    left: leftIptables,
    listLeft: listLeftIptables,
    carryOut,
    remove: removeIptables,
    wouldTake: wouldTakeRules,
    defaultFlavour,
  },
  endPrograms,
};

async function isInIptables(): Promise<boolean> {
  try {
    return [...(await leftIptables()).values()].some(iptablesHoldsAdmission);
  } catch (error) {
    // The unit's capabilities do not let us read legacy tables, which are somebody else's: as on a host that has none of ours.
    if (error instanceof KernelError && error.code === 'not-permitted') return false;
    throw error;
  }
}
