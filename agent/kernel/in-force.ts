/**
 * The new rules are in force before the old ones go, whoever loads them: the agent, a command, or a process that brings former rules back.
 * First what iptables is to hold, then the tables of nftables, which take away what stands there of another packet filter; what is left of
 * ours in iptables goes last, when it only takes away.
 */
import type { IptablesPlan } from '../../compiler/index.js';
import type { Kernel } from './driver.js';
import type { CommitRules, Flavour } from './iptables.js';

export interface Steps {
  /** For what iptables is to hold; of no flavour where nothing of ours is to be there. */
  readonly iptables: ReadonlyMap<Flavour, Pick<IptablesPlan, 'steps'>>;
  /** Brings in the tables of nftables. */
  readonly tables: () => Promise<void>;
  /** False where nothing of ours can be left in iptables. */
  readonly mayBeLeft: boolean;
}

/** Of what iptables held of ours. */
export interface Former {
  readonly isRemoved: boolean;
  /** Why it could not be removed: what is wanted is in force all the same. */
  readonly left: Error | undefined;
}

/**
 * @param commit runs programs that change rules of iptables.
 * @throws KernelError; then the former rules stand.
 */
export async function bringInForce(
  { iptables }: Pick<Kernel, 'iptables'>,
  steps: Steps,
  commit?: CommitRules,
): Promise<Former> {
  for (const [flavour, plan] of steps.iptables) {
    await iptables.carryOut(plan, { flavour, ...(commit === undefined ? {} : { commit }) });
  }
  await steps.tables();
  if (!steps.mayBeLeft) return { isRemoved: false, left: undefined };
  try {
    return { isRemoved: await iptables.remove([...steps.iptables.keys()]), left: undefined };
  } catch (error) {
    return { isRemoved: false, left: error instanceof Error ? error : new Error(String(error)) };
  }
}
