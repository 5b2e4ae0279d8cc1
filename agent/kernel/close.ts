/** Closes a host on which nothing can be loaded, without nft: for who has no agent at work yet. */
import type { CompileOptions } from '../../compiler/index.js';
import type { BackendName } from './backend-name.js';
import { closingMessages, closeTables } from '../closing.js';
import { applyMessages } from './netlink-load.js';
import { tablesToClose, whatIsOpen } from './open.js';

/**
 * Closes devices of the managed prefix, and others by name, where no table of ours does. Rejects with NetlinkError.
 * @returns false when nothing was open: the rules that are loaded stand.
 */
export async function closeWhatIsOpen(
  options: CompileOptions,
  backend: BackendName,
  devices: readonly string[],
): Promise<boolean> {
  const opened = tablesToClose(await whatIsOpen(), devices, { backend, datapath: options.datapath, wasInForce: false });
  if (opened.length === 0) return false;
  await closeTables(applyMessages, closingMessages(options, devices), opened);
  return true;
}
