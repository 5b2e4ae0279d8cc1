/** Whose rules write whole marks, and with them our bits. */
import { TABLE_NAME } from '../../compiler/index.js';
import { listTables } from '../netlink/tables.js';
import { foreignRulesInIptables, foreignRulesInNft, type ForeignRule, type IptablesListing } from './foreign-rules.js';
import { runProgram } from './program.js';

/** Of a flow (conntrack mark), or of a packet. Bits of packet marks are ours on bridges with br_netfilter alone. */
export type MarkKind = 'conntrack' | 'packet';

/**
 * Rules of others that write a mark without keeping the bits that it has, as far as nft and iptables list them.
 * @returns each as a line that names its table and chain.
 */
export async function markWriters(kinds: readonly MarkKind[]): Promise<readonly string[]> {
  const tables = (await foreignTables()).map(async (name) => listing('nft', ['list', 'table', ...name.split(' ')]));
  const listings = ['iptables', 'ip6tables'].map(async (program) => ({
    program,
    rules: await listing(`${program}-save`, ['-t', 'mangle']),
  }));
  const found = [
    ...(await Promise.all(tables)).flatMap((listed) => nftWriters(listed, kinds)),
    ...(await Promise.all(listings)).flatMap((saved) => iptablesWriters(saved, kinds)),
  ];
  return [...new Set(found)];
}

/** Ours may be large, and is not asked. */
async function foreignTables(): Promise<readonly string[]> {
  const names = await listTables().then(
    (tables) => [...tables.keys()],
    () => [],
  );
  return names.filter((name) => !name.endsWith(` ${TABLE_NAME}`));
}

/** A program that is not there, or cannot list, has nothing to say. */
async function listing(program: string, args: readonly string[]): Promise<string> {
  const result = await runProgram(program, args);
  return result.kind === 'ended' && result.code === 0 ? result.stdout : '';
}

/** What is made of the mark itself keeps it; nft writes `mark` alone for iptables' own targets. */
const NFT_WRITES: Readonly<Record<MarkKind, RegExp>> = {
  conntrack: /\bct mark set (?!ct mark )/,
  packet: /\bmeta mark set (?!(meta )?mark )/,
};

/** From the output of `nft list table`. */
export function nftWriters(listed: string, kinds: readonly MarkKind[]): readonly string[] {
  return writersAmong(foreignRulesInNft(listed), kinds, NFT_WRITES);
}

const IPTABLES_WRITES: Readonly<Record<MarkKind, RegExp>> = {
  conntrack:
    /-j CONNMARK (--set-x?mark 0x[0-9a-f]+\/0xffffffff|--save-mark( --nfmask 0xffffffff --ctmask 0xffffffff)?$)/,
  packet:
    /-j (MARK --set-x?mark 0x[0-9a-f]+\/0xffffffff|CONNMARK --restore-mark( --nfmask 0xffffffff --ctmask 0xffffffff)?$)/,
};

/** From the output of `iptables-save -t mangle`. */
export function iptablesWriters(listing: IptablesListing, kinds: readonly MarkKind[]): readonly string[] {
  return writersAmong(foreignRulesInIptables(listing), kinds, IPTABLES_WRITES);
}

function writersAmong(
  rules: readonly ForeignRule[],
  kinds: readonly MarkKind[],
  writes: Readonly<Record<MarkKind, RegExp>>,
): readonly string[] {
  return rules
    .filter(({ text }) => kinds.some((kind) => writes[kind].test(text)))
    .map(({ where, text }) => `${where}: ${text}`);
}
