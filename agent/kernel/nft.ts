/**
 * The nft(8) program: reads our tables and loads transactions. The only module that starts it.
 *
 * nft never translates its messages (it sets no locale), so matching their text in one place is safe.
 */
import { constants } from 'node:os';
import { TABLE_FAMILIES, TABLE_NAME, type Table, type TableFamily } from '../../compiler/index.js';
import { readListing, readRules } from '../../compiler/listing.js';
import { NFT_TABLE_F_OWNER } from '../netlink/nf-tables-header.js';
import { NetlinkError } from '../netlink/socket.js';
import { listTables } from '../netlink/tables.js';
import { crashOf, unreadableSet } from './crash.js';
import { KernelError } from './errors.js';
import {
  readLoadedTable,
  tableOfAnother,
  textToCheck,
  withTrueBodies,
  type LoadedTable,
  type RulesOfTable,
} from './loaded.js';
import { runProgram, type ProgramOptions, type ProgramResult } from './program.js';

const { EPERM } = constants.errno;

/** Our tables, as the kernel holds them. Foreign tables are not read. */
export async function readLoadedTables(): Promise<readonly LoadedTable[]> {
  return Promise.all(
    (await ownTables()).map(async ({ family, flags }) => {
      if ((flags & NFT_TABLE_F_OWNER) !== 0) return tableOfAnother(family);
      // The listing says what is there in words; the debug output says what it is to the kernel.
      const args = ['--json', '--numeric', '--stateless', '--debug=netlink', 'list', 'table', family, TABLE_NAME];
      return parseListing(family, flags, await runNft(args));
    }),
  );
}

export interface Judged {
  readonly tables: readonly LoadedTable[];
  /** False where nft does not say what rules do in a form that is known: then only their comments were compared. */
  readonly areBodiesKnown: boolean;
}

/**
 * What is loaded, where a rule that does something else than the wanted one of its comment does not have that comment. Nothing is
 * applied to find out.
 */
export async function judgeBodies(loaded: readonly LoadedTable[], wanted: readonly Table[]): Promise<Judged> {
  if (loaded.length === 0 || wanted.length === 0) return { tables: loaded, areBodiesKnown: true };
  try {
    const instructions = await runNft(['--check', '--debug=netlink', '-f', '-'], { input: textToCheck(wanted) });
    const judged = withTrueBodies(loaded, wanted, instructions);
    return { tables: judged ?? loaded, areBodiesKnown: judged !== undefined };
  } catch (error) {
    // What the kernel would not take it cannot hold; that is said when it is loaded.
    if (error instanceof KernelError && error.code === 'refused') return { tables: loaded, areBodiesKnown: true };
    throw error;
  }
}

/** Our tables as text that loads them again, byte for byte; '' when there is none. */
export async function saveLoadedTables(): Promise<string> {
  const texts: string[] = [];
  for (const family of await loadedFamilies()) {
    texts.push(await runNft(['--stateless', 'list', 'table', family, TABLE_NAME]));
  }
  return texts.join('');
}

/** The listing of our tables with their counters, as libnftables JSON, one per table. */
export async function listWithCounters(): Promise<readonly { readonly family: TableFamily; readonly json: unknown }[]> {
  const listings = [];
  for (const family of await loadedFamilies()) {
    const text = await runNft(['--json', '--numeric', 'list', 'table', family, TABLE_NAME]);
    listings.push({ family, json: JSON.parse(text) as unknown });
  }
  return listings;
}

/** One of our tables with what its rules ask; undefined where it is not loaded, or another program owns it. */
export async function readRulesOf(family: TableFamily): Promise<RulesOfTable | undefined> {
  const table = (await ownTables()).find((loaded) => loaded.family === family);
  if (table === undefined || (table.flags & NFT_TABLE_F_OWNER) !== 0) return undefined;
  const listing: unknown = JSON.parse(
    await runNft(['--json', '--numeric', '--stateless', 'list', 'table', family, TABLE_NAME]),
  );
  return { table: readListing(family, TABLE_NAME, listing), rules: readRules(listing) };
}

/** Version of the nft program, `1.0.6`. */
export async function nftVersion(): Promise<string> {
  const text = await runNft(['--version']);
  return /v(\d+(?:\.\d+)*)/.exec(text)?.[1] ?? text.trim();
}

/**
 * Applies nft text as one transaction: all of it, or nothing.
 * @param onStart called with the process id of the program that applies it.
 * @throws KernelError `refused` with the kernel's reason when it does not go in.
 */
export async function applyText(text: string, onStart?: (pid: number) => void): Promise<void> {
  await runNft(['-f', '-'], { input: text, ...(onStart === undefined ? {} : { onStart }) });
}

/** True when the kernel would take the text; nothing is applied. */
export async function wouldApply(text: string): Promise<boolean> {
  try {
    await runNft(['--check', '-f', '-'], { input: text });
    return true;
  } catch (error) {
    if (error instanceof KernelError && error.code === 'refused') return false;
    throw error;
  }
}

/** The families of our tables, asked without nft. @throws KernelError `not-permitted` */
export async function loadedFamilies(): Promise<readonly TableFamily[]> {
  return (await ownTables()).map(({ family }) => family);
}

async function ownTables(): Promise<readonly { readonly family: TableFamily; readonly flags: number }[]> {
  try {
    const tables = await listTables();
    return TABLE_FAMILIES.flatMap((family) => {
      const flags = tables.get(`${family} ${TABLE_NAME}`);
      return flags === undefined ? [] : [{ family, flags }];
    });
  } catch (error) {
    if (error instanceof NetlinkError && error.errno === EPERM) throw notPermitted();
    throw error;
  }
}

function parseListing(family: TableFamily, flags: number, listing: string): LoadedTable {
  try {
    return readLoadedTable(family, flags, listing);
  } catch (cause) {
    throw new KernelError('unreadable', `nft lists table ${family} ${TABLE_NAME} in a form that is not known`, {
      cause,
    });
  }
}

async function runNft(args: readonly string[], options?: ProgramOptions): Promise<string> {
  const result = await runProgram('nft', args, options);
  if (result.kind === 'ended' && result.code === 0) return result.stdout;
  const signal = crashOf(result);
  throw signal === undefined ? asKernelError(result, args) : await crashed(signal, args);
}

async function crashed(signal: string, args: readonly string[]): Promise<KernelError> {
  const culprit = await unreadableSet();
  const what = `nft ${args.join(' ')}: crashed (${signal})`;
  return new KernelError(
    'crashed',
    culprit === undefined
      ? what
      : `${what}: it cannot read ${culprit}, which is another program’s: update nftables, or remove that set`,
  );
}

/** Without the right to change the kernel's firewall. */
export function notPermitted(): KernelError {
  return new KernelError('not-permitted', 'reading and changing the kernel firewall needs root (CAP_NET_ADMIN)');
}

/** EBUSY, EINTR, ENOBUFS and ERESTART, as strerror(3) words them. */
const INTERRUPTED =
  /Device or resource busy|Interrupted system call|No buffer space available|should be restarted|Resource temporarily unavailable/;

function asKernelError(result: ProgramResult, args: readonly string[]): KernelError {
  const what = `nft ${args.join(' ')}`;
  switch (result.kind) {
    case 'not-started':
      return result.code === 'ENOENT'
        ? new KernelError('nft-missing', 'the nft program is missing: install the package nftables')
        : new KernelError('interrupted', `${what}: could not be started: ${result.code}`);
    case 'late':
      return new KernelError('interrupted', `${what}: no answer in ${result.seconds.toString()} s: it was ended`);
    case 'killed':
      return new KernelError('interrupted', `${what}: ended by ${result.signal}`);
    case 'ended':
      return saidNo(result.stderr, what);
  }
}

function saidNo(stderr: string, what: string): KernelError {
  const [reason = ''] = stderr.split('\n').filter((line) => line.includes('Error') || line.includes('not permitted'));
  if (/Operation not permitted|must be root/.test(stderr)) return notPermitted();
  if (INTERRUPTED.test(stderr)) return new KernelError('interrupted', `${what}: ${reason.trim()}`);
  return new KernelError('refused', `${what}: ${reason === '' ? 'no reason given' : reason.trim()}`);
}
