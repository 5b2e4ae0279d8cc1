/**
 * The nft(8) program: reads our tables and loads transactions. The only module that starts it.
 *
 * nft never translates its messages (it sets no locale), so matching their text in one place is safe.
 */
import { execa } from 'execa';
import { readListing, TABLE_NAME, type TableState } from '../../compiler/index.js';
import type { TableFamily } from '../../compiler/index.js';
import { NetlinkError } from '../netlink/socket.js';
import { listTables } from '../netlink/tables.js';
import { KernelError } from './errors.js';

const EPERM = 1;

/** The families that hold a table of ours. */
const FAMILIES: readonly TableFamily[] = ['inet', 'arp', 'bridge'];

/** Our tables, as the kernel holds them. Foreign tables are not read. */
export async function readLoadedTables(): Promise<readonly TableState[]> {
  return Promise.all(
    (await loadedFamilies()).map(async (family) => {
      const listing = await runNft(['--json', '--numeric', '--stateless', 'list', 'table', family, TABLE_NAME]);
      return parseListing(family, listing);
    }),
  );
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

/** Version of the nft program, `1.0.6`. */
export async function nftVersion(): Promise<string> {
  const text = await runNft(['--version']);
  return /v(\d+(?:\.\d+)*)/.exec(text)?.[1] ?? text.trim();
}

/** Text that removes our tables, whichever are loaded. */
export async function deletionOfLoadedTables(): Promise<string> {
  return (await loadedFamilies()).map((family) => `delete table ${family} ${TABLE_NAME}\n`).join('');
}

/**
 * Applies nft text as one transaction: all of it, or nothing.
 * @throws KernelError `refused` with the kernel's reason when it does not go in.
 */
export async function applyText(text: string): Promise<void> {
  await runNft(['-f', '-'], text);
}

/** True when the kernel would take the text; nothing is applied. */
export async function wouldApply(text: string): Promise<boolean> {
  try {
    await runNft(['--check', '-f', '-'], text);
    return true;
  } catch (error) {
    if (error instanceof KernelError && error.code === 'refused') return false;
    throw error;
  }
}

/** Process ids of the transactions that this process made lately: the kernel's notices name them. */
const ownPids = new Set<number>();
const REMEMBERED_PIDS = 1000;

/** True when the transaction of that process was ours. */
export function isOwnPid(pid: number): boolean {
  return ownPids.has(pid);
}

function remember(pid: number | undefined): void {
  if (pid === undefined) return;
  // A number that comes again counts as young.
  ownPids.delete(pid);
  ownPids.add(pid);
  const [oldest] = ownPids;
  if (ownPids.size > REMEMBERED_PIDS && oldest !== undefined) ownPids.delete(oldest);
}

async function loadedFamilies(): Promise<readonly TableFamily[]> {
  try {
    const tables = await listTables();
    return FAMILIES.filter((family) => tables.has(`${family} ${TABLE_NAME}`));
  } catch (error) {
    if (error instanceof NetlinkError && error.errno === EPERM) throw notPermitted();
    throw error;
  }
}

function parseListing(family: TableFamily, listing: string): TableState {
  try {
    return readListing(family, TABLE_NAME, JSON.parse(listing));
  } catch (cause) {
    throw new KernelError('unreadable', `nft lists table ${family} ${TABLE_NAME} in a form that is not known`, {
      cause,
    });
  }
}

async function runNft(args: readonly string[], input = ''): Promise<string> {
  const run = execa('nft', args, { input, reject: false, stripFinalNewline: false, env: { LC_ALL: 'C' } });
  remember(run.pid);
  const result = await run;
  if (result.exitCode === 0) return result.stdout;
  throw asKernelError(result, args);
}

function notPermitted(): KernelError {
  return new KernelError('not-permitted', 'reading and changing the kernel firewall needs root (CAP_NET_ADMIN)');
}

interface FailedRun {
  readonly code?: string | undefined;
  readonly stderr: string;
  readonly shortMessage?: string | undefined;
}

/** EBUSY, EINTR, ENOBUFS and ERESTART, as strerror(3) words them. */
const INTERRUPTED =
  /Device or resource busy|Interrupted system call|No buffer space available|should be restarted|Resource temporarily unavailable/;

function asKernelError(result: FailedRun, args: readonly string[]): KernelError {
  if (result.code === 'ENOENT') {
    return new KernelError('nft-missing', 'the nft program is missing: install the package nftables');
  }
  const [reason = ''] = result.stderr
    .split('\n')
    .filter((line) => line.includes('Error') || line.includes('not permitted'));
  if (/Operation not permitted|must be root/.test(result.stderr)) {
    return notPermitted();
  }
  if (INTERRUPTED.test(result.stderr)) {
    return new KernelError('interrupted', `nft ${args.join(' ')}: ${reason.trim()}`);
  }
  const said = reason === '' ? (result.shortMessage ?? 'no reason given') : reason.trim();
  return new KernelError('refused', `nft ${args.join(' ')}: ${said}`);
}
