/** The agent: what touches the kernel. */
export type { BackendName } from './backends/backend.js';
export { Agent, type AgentSettings } from './agent.js';
export { countersIn, readCounters, type AuditedFlow, type Counters, type PortDrops } from './kernel/counters.js';
export type { Count, RuleCounter } from './kernel/rule-counter.js';
export { CountingSince, type CountingSinceJson } from './counting-since.js';
export { startConfirmation, type ConfirmOutcome, type PendingConfirmation } from './kernel/confirm.js';
export { takeOverFlows } from './flows/take-over.js';
export { KernelError, type KernelErrorCode } from './kernel/errors.js';
export { withFormerDevices } from './former.js';
export { readLoadedDevices } from './kernel/loaded-devices.js';
export { removeIptables } from './kernel/iptables.js';
export { isNoDifference, load, loadBaseline, planLoad, type Difference, type Wanted } from './kernel/load.js';
export { applyText, deletionOfLoadedTables, loadedFamilies, nftVersion, saveLoadedTables } from './kernel/nft.js';
export { closeWhatIsOpen } from './kernel/close.js';
export { detectDatapath, probeDatapath } from './kernel/probe.js';
export { notify } from './service-manager.js';
export type { AgentStatus, Counted, IsolatedStatus, PortState, PortStatus } from './status.js';
