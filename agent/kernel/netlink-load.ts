/**
 * Transactions of nf_tables over netlink, without the nft program: what has to go in at once, where nft fails, and what would take nft
 * longer to start than the kernel to do (docs/decisions/netlink.md).
 */
import { constants } from 'node:os';
import type { Stage } from '../../compiler/index.js';
import { batchBytes, batchLength, transactionMessages, type NfTablesMessage } from '../netlink/nf-tables-batch.js';
import { KeptSocket } from '../netlink/kept-socket.js';
import { NFT_MSG } from '../netlink/nf-tables-header.js';
import { leastBytes } from '../netlink/nf-tables-size.js';
import { NotEncodable } from '../netlink/not-encodable.js';
import { isUndone, NetlinkError, NotSent } from '../netlink/socket.js';
import { KernelError } from './errors.js';
import { nftVersion, notPermitted } from './nft.js';

/**
 * Makes one transaction of nf_tables.
 * @param onPort to be called with the port id of its socket before it can be made.
 * @param generation the last one, which it is to follow.
 */
export type Make = (onPort: (portId: number) => void, generation: number) => Promise<void>;

export type WithoutNft =
  { readonly kind: 'can'; readonly make: Make } | { readonly kind: 'cannot'; readonly why: string };

/** Versions of nft that make the same instructions of a rule's text: what they read back they know again. The kernel tier compares. */
const ALIKE: ReadonlySet<string> = new Set(['1.0.6']);
const { EPERM } = constants.errno;
/** Of a batch whose NFNL_BATCH_GENID is not the last generation (nfnetlink_rcv_batch() in net/netfilter/nfnetlink.c). */
const ERESTART = 85;
const SOCKET = new KeptSocket();

/** Set to `nft`, nft makes every transaction of the agent's, and reads all that is loaded: for whoever doubts the other way. */
const SWITCH = 'PORTCULLIS_TRANSACTIONS';

/** True where nothing is to be done without nft that nft can do. */
export function isByNft(): boolean {
  return process.env[SWITCH] === 'nft';
}

/**
 * How a stage is applied without nft. It rejects with KernelError: `refused`, `outdated` and `not-permitted` where nothing was applied,
 * `interrupted` where that is not known.
 */
export async function withoutNft({ closing, transaction }: Stage): Promise<WithoutNft> {
  if (isByNft()) return { kind: 'cannot', why: `${SWITCH} says so` };
  if (closing !== '') return { kind: 'cannot', why: 'a table is closed before it is replaced' };
  // The kernel would refuse it (EMSGSIZE) once all of it was made.
  if (leastBytes(transaction) > (await sendBuffer())) return { kind: 'cannot', why: 'it is larger than a send buffer' };
  let messages: readonly NfTablesMessage[];
  try {
    messages = transactionMessages(transaction);
  } catch (error) {
    if (error instanceof NotEncodable) return { kind: 'cannot', why: error.message };
    throw error;
  }
  if (messages.some(isRule) && !(await isAlike()))
    return { kind: 'cannot', why: 'this version of nft may read rules otherwise' };
  return {
    kind: 'can',
    make: async (onPort, generation) => {
      try {
        await applyMessages(messages, onPort, generation);
      } catch (error) {
        throw asKernelError(error);
      }
    },
  };
}

/**
 * Applies messages as one transaction: all of it, or nothing. Rejects with NetlinkError, which names the object at fault; with NotSent; and
 * with another error where it is not known what became of it.
 * @param onPort called before anything is sent, with the port id of the socket that will send it.
 * @param generation the last one; refused (ERESTART) where another one came between. Given where nft may do it as well: then what could
 *   not be answered in full is not sent.
 */
export async function applyMessages(
  messages: readonly NfTablesMessage[],
  onPort: (portId: number) => void = () => undefined,
  generation?: number,
): Promise<void> {
  let first = 0;
  try {
    await SOCKET.lend(async (socket) => {
      if (generation !== undefined && answersTo(messages) > socket.receiveBuffer) {
        throw new NotSent('netlink: the kernel’s answers might not fit the buffer');
      }
      onPort(socket.portId);
      await socket.batch(batchLength(messages), (from) => {
        first = from;
        return batchBytes(messages, first, generation);
      });
    });
  } catch (error) {
    if (!(error instanceof NetlinkError)) throw error;
    // The first message begins the transaction.
    const about = messages[error.sequence - first - 1]?.about ?? 'the transaction';
    throw new NetlinkError(`refused: ${about}`, error.errno);
  }
}

/** struct sk_buff and struct skb_shared_info, as the kernel counts them with each answer. */
const SK_BUFF = 256;
const SHARED_INFO = 320;
/** struct nlmsghdr, twice, and an error. */
const ERROR_LENGTH = 36;

/**
 * The most that answers take in the buffer: each message may be refused, and an answer repeats it. Memory comes in powers of two. Where
 * they do not fit, the netlink package may abort this process.
 */
function answersTo(messages: readonly NfTablesMessage[]): number {
  return messages.reduce(
    (sum, { payload }) => sum + SK_BUFF + 2 ** Math.ceil(Math.log2(payload.length + ERROR_LENGTH + SHARED_INFO)),
    0,
  );
}

/**
 * An element, with a margin, in bytes. Sets and chains, which count as two, are answered with 768, a rule, which counts as six, with up to
 * 2 304 ({@link answersTo}); what the kernel tells of them takes less.
 */
const ROOM_OF_ELEMENT = 400;
/** In Debian's default buffers of 416 KiB. */
const LEAST_OF_PIECE = 1000;

/**
 * How many elements a piece of a large transaction has at most: as many as a send buffer takes with ease, and as what the kernel may answer
 * leaves room in a receive buffer, here and in the watching process.
 */
export async function mostOfPiece(): Promise<number> {
  const room = await SOCKET.lend(async ({ sendBuffer: most, receiveBuffer }) =>
    Promise.resolve(Math.min(most, receiveBuffer)),
  ).catch(() => 0);
  return Math.max(LEAST_OF_PIECE, Math.floor(room / ROOM_OF_ELEMENT));
}

/** In bytes; none where there is no socket to be had. */
async function sendBuffer(): Promise<number> {
  return SOCKET.lend((socket) => Promise.resolve(socket.sendBuffer)).catch(() => 0);
}

function isRule({ type }: NfTablesMessage): boolean {
  return (type & 0xff) === NFT_MSG.NFT_MSG_NEWRULE;
}

let asked: Promise<boolean> | undefined;

/** nft may have become another one, or could not be asked: whoever compares with what it reads has it asked anew. */
export function askVersionAnew(): void {
  asked = undefined;
}

async function isAlike(): Promise<boolean> {
  asked ??= nftVersion().then(
    (version) => ALIKE.has(version),
    () => false,
  );
  return asked;
}

function asKernelError(error: unknown): KernelError {
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof NetlinkError && error.errno === EPERM) return notPermitted();
  if (error instanceof NetlinkError && error.errno === ERESTART) return new KernelError('outdated', message);
  return new KernelError(isUndone(error) ? 'refused' : 'interrupted', message, { cause: error });
}
