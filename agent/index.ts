/** The agent: what touches the kernel. */
export type { BackendName } from './kernel/backend-name.js';
export { Agent } from './agent.js';
export type { AgentSettings } from './settings.js';
export { countersIn, readCounters, type AuditedFlow, type Counters, type PortDrops } from './kernel/counters.js';
export type { Count, RuleCounter } from './kernel/rule-counter.js';
export { CountingSince, type CountingSinceJson } from './counting-since.js';
export { startConfirmation, type ConfirmOutcome, type PendingConfirmation } from './kernel/confirm.js';
export { takeOverFlows } from './flows/take-over.js';
export { countFlowsToCut } from './flows/would-cut.js';
export { KernelError, type KernelErrorCode } from './kernel/errors.js';
export { withFormerDevices } from './former.js';
export { readLoadedDevices } from './kernel/loaded-devices.js';
export { KERNEL, type Kernel } from './kernel/driver.js';
export type { RulesOfTable } from './kernel/loaded.js';
export {
  deletionOfLoaded,
  isNoDifference,
  loadBaseline,
  seesPackets,
  planLoad,
  unload,
  type Difference,
  type LoadPlan,
  type Wanted,
} from './kernel/load.js';
export { nftVersion } from './kernel/nft.js';
export { closeWhatIsOpen } from './kernel/close.js';
export { BRIDGE_TRACKING, detectDatapath, probeDatapath } from './kernel/probe.js';
export { readBridgeCalls, type BridgeCall } from './kernel/bridge-calls.js';
export {
  foreignRulesInIptables,
  foreignRulesInNft,
  listChain,
  listForeignTables,
  listLegacyRules,
  type ForeignRule,
  type IptablesListing,
} from './kernel/foreign-rules.js';
export { TRIAL_BEGINS, TRIAL_TABLE, tryNft, type NftFacts } from './kernel/nft-trial.js';
export { crashOf } from './kernel/crash.js';
export { runProgram, type ProgramResult } from './kernel/program.js';
export { listBaseChains, type BaseChain } from './netlink/base-chains.js';
export { Conntrack } from './netlink/conntrack.js';
export { listLinks, type Link } from './netlink/links.js';
export { LinkTable } from './devices.js';
export { notify } from './service-manager.js';
export type { AgentStatus, Counted, IsolatedStatus, PortState, PortStatus } from './status.js';
