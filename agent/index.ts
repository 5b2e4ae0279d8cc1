/** The agent: what touches the kernel. */
export { startConfirmation, type ConfirmOutcome, type PendingConfirmation } from './kernel/confirm.js';
export { KernelError, type KernelErrorCode } from './kernel/errors.js';
export { loadBaseline, loadTables, planLoad } from './kernel/load.js';
export { applyText, deletionOfLoadedTables, readLoadedTables, saveLoadedTables } from './kernel/nft.js';
