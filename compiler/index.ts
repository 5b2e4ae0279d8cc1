/** The compiler: topology -> host policy -> ruleset -> nftables. Pure; a library of its own. */
import type { Port, Topology } from './model/index.js';
import { hostPolicy, type HostPolicy } from './host-policy.js';
import type { CompileOptions } from './options.js';
import { compileRuleset } from './ruleset/compile.js';
import type { Ruleset } from './ruleset/types.js';

export * from './datapath.js';
export type { NumberRange } from './number-range.js';
export * from './options.js';
export {
  hostPolicy,
  linkLocalAddress,
  ownMacs,
  sourcePrefixes,
  type HostPolicy,
  type MemberSet,
} from './host-policy.js';
export { baselineTables } from './baseline.js';
export { summarise, type Summary } from './summary.js';
export { besideIptables, compileRuleset, tableFamilies } from './ruleset/compile.js';
export { CLOSED_DEVICES, closedDevices, closedRule, TABLE_FAMILIES, TABLE_NAME } from './ruleset/closed.js';
export { AUDIT, AUDIT_PASSED, auditTallySetName, placeOfProfiles } from './ruleset/audit.js';
export { groupChainName } from './ruleset/group-chain.js';
export { readGroupLabel } from './ruleset/group-label.js';
export { SETS } from './ruleset/fixed-names.js';
export { isNamedAfter, placeOfFlows, readChainName, readMemberSetName, startOfNames } from './ruleset/read-names.js';
export { tallySetName } from './ruleset/build.js';
export { NOISE } from './ruleset/services.js';
export { ADMIT, flowBits, type FlowBits } from './ruleset/admission.js';
export { GUARDED } from './ruleset/guard.js';
export {
  isGrowth,
  sourcesGone,
  stepsOf,
  type Change,
  type Element,
  type ListedElement,
  type SetHead,
  type Step,
} from './ruleset/change.js';
export { overlapsByHost, overlapText, type NetworkOverlap } from './zones.js';
export { holdsAdmission } from './nftables/state.js';
export * from './ruleset/types.js';
export { legendOf, type Legend, type LegendPort, type LegendRule } from './legend.js';
export { HostCompiler } from './incremental/host-compiler.js';
export type { Touched } from './incremental/touched.js';
export { runEgress, runIngress, type Passage } from './ruleset/run.js';
export { harmless, readComment, ruleComment } from './nftables/comment.js';
export { elementText, fullRuleText, printRuleset, printTable, printTables, ruleText } from './nftables/text.js';
export { printRulesetJson } from './nftables/json.js';
export { iptablesHoldsAdmission } from './iptables/fixed.js';
export { IptablesMemory, iptablesProgram, iptablesRules } from './iptables/program.js';
export { memberChanges, memberSets } from './iptables/members.js';
export {
  ADMIT_CHAIN as ADMIT_CHAINS,
  chainName as iptablesChainName,
  isOurs as isOursInIptables,
  mentionsOurs,
  nameWithin as nameInNftables,
  OF_THE_KERNEL as IPTABLES_HOOKS,
} from './iptables/names.js';
export { directionOfChain, reasonOfDrop } from './iptables/chain-uses.js';
export { readCountedRules, readIpsets, readIptables } from './iptables/listing.js';
export { inputDevice } from './iptables/dispatch.js';
export { readRule as readIptablesRule } from './iptables/read-rule.js';
export { printRule as printIptablesRule } from './iptables/rule-text.js';
export type { IptablesRule } from './iptables/rule.js';
export { EMPTY_PROGRAM, planIptables, type IptablesPlan, type IptablesStep } from './iptables/plan.js';
export { printIpsets, printIptables } from './iptables/text.js';
export type * from './iptables/types.js';
export { divideLarge } from './nftables/ahead.js';
export { printBeforeReplacing, printStage, printStages, stagesOf, type Stage } from './nftables/stages.js';
export { stateOf, type ChainState, type SetState, type TableState } from './nftables/state.js';
export {
  planReplacement,
  planTransaction,
  printTransaction,
  type TableChange,
  type Transaction,
} from './nftables/transaction.js';

export interface Compiled {
  readonly policy: HostPolicy;
  readonly ruleset: Ruleset;
}

/**
 * Compiles a topology for a host.
 * @param isLocal the ports of the host.
 */
export function compile(topology: Topology, isLocal: (port: Port) => boolean, options: CompileOptions): Compiled {
  const policy = hostPolicy(topology, isLocal, options);
  return { policy, ruleset: compileRuleset(policy, options) };
}
