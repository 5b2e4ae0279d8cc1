/** What can go wrong between us and the kernel, in one closed list. */

export type KernelErrorCode =
  /** The `nft` program is not installed or not in PATH. */
  | 'nft-missing'
  /** Not root, or CAP_NET_ADMIN is missing. */
  | 'not-permitted'
  /** The kernel, or nft before it, refused the transaction: nothing of it was applied. */
  | 'refused'
  /** Another transaction came before it, which it was not made for: nothing of it was applied. */
  | 'outdated'
  /** Another transaction, a signal or a full buffer came between: whether it was applied must be read back. */
  | 'interrupted'
  /** nft died of what it read. */
  | 'crashed'
  /** The program says that it did what was asked, and the kernel shows that it did not. */
  | 'ineffective'
  /** The kernel lacks what the datapath needs. */
  | 'unsupported'
  /** nft answered something that we cannot read. */
  | 'unreadable';

/** The kernel did not do what was asked; `message` is one line for the operator. */
export class KernelError extends Error {
  override readonly name = 'KernelError';

  constructor(
    readonly code: KernelErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}
