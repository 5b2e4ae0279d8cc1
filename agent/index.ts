/** The agent: what touches the kernel. */
export { KernelError, type KernelErrorCode } from './kernel/errors.js';
export { applyText, deletionOfLoadedTables, readLoadedTables, saveLoadedTables } from './kernel/nft.js';
