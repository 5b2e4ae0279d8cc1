/** Rules of others: what nft and iptables list, read rule by rule. */
import { readFile } from 'node:fs/promises';
import { isOursInIptables, TABLE_NAME } from '../../compiler/index.js';
import { listTables } from '../netlink/tables.js';
import { runProgram } from './program.js';

export interface NftListings {
  /** Output of `nft list table`, one of each foreign table. */
  readonly tables: readonly string[];
  /** What could not be listed. */
  readonly untold: readonly string[];
}

export interface LegacyListings {
  readonly listings: readonly IptablesListing[];
  /** What could not be listed. */
  readonly untold: readonly string[];
}

export interface IptablesListing {
  /** `iptables-legacy`, or that of IPv6. */
  readonly program: string;
  /** Output of its `-save`. */
  readonly rules: string;
}

export interface ForeignRule {
  /** "nft table ip qos, chain f", "iptables mangle" */
  readonly where: string;
  /** Of iptables with the `-A CHAIN` before it. */
  readonly text: string;
}

/** Of what `nft list table` said of a table of others; those of ours that iptables-nft keeps there are none. */
export function foreignRulesInNft(listing: string): readonly ForeignRule[] {
  let [table, chain] = ['', ''];
  const rules: ForeignRule[] = [];
  for (const line of listing.split('\n')) {
    table = /^table (\S+ \S+) \{/.exec(line)?.[1] ?? table;
    const opened = /^\tchain (\S+) \{/.exec(line)?.[1];
    if (opened !== undefined) chain = opened;
    else if (line.startsWith('\t\t') && !isOursInIptables(chain))
      rules.push({ where: `nft table ${table}, chain ${chain}`, text: line.trim() });
  }
  return rules;
}

/** Of what `iptables-save` said; those in chains of ours, and what leads there, are none. */
export function foreignRulesInIptables({ program, rules: listing }: IptablesListing): readonly ForeignRule[] {
  let table = '';
  const rules: ForeignRule[] = [];
  for (const line of listing.split('\n')) {
    if (line.startsWith('*')) table = line.slice(1);
    const [, chain, rule = ''] = /^-A (\S+)(.*)$/.exec(line) ?? [];
    if (chain === undefined || isOursInIptables(chain)) continue;
    const target = / -[jg] (\S+)/.exec(rule)?.[1];
    if (target === undefined || !isOursInIptables(target))
      rules.push({ where: `${program} ${table}`, text: line.trim() });
  }
  return rules;
}

/** Ours may be large, and is not asked. Rejects with NetlinkError (EPERM without CAP_NET_ADMIN). */
export async function listForeignTables(): Promise<NftListings> {
  const names = [...(await listTables()).keys()].filter((name) => !name.endsWith(` ${TABLE_NAME}`));
  const untold: string[] = [];
  const tables = await Promise.all(
    names.map(async (name) => {
      const text = await listing('nft', ['list', 'table', ...name.split(' ')]);
      if (text === undefined) untold.push(`nft table ${name}`);
      return text ?? '';
    }),
  );
  return { tables, untold };
}

/**
 * What nft lists of one chain; undefined where it does not.
 * @param name family, table and chain.
 */
export async function listChain(name: string): Promise<string | undefined> {
  return listing('nft', ['list', 'chain', ...name.split(' ')]);
}

const LEGACY = { ip: 'iptables-legacy', ip6: 'ip6tables-legacy' } as const;

export async function listLegacyRules(): Promise<LegacyListings> {
  const untold: string[] = [];
  const listings = await Promise.all(
    (await legacyFamilies()).map(async (family) => {
      const program = LEGACY[family];
      const rules = await listing(`${program}-save`, []);
      if (rules === undefined) untold.push(`the rules of ${program}`);
      return { program, rules: rules ?? '' };
    }),
  );
  return { listings, untold };
}

/** Families of which iptables-legacy has tables in the kernel of this network namespace. */
export async function legacyFamilies(): Promise<readonly (keyof typeof LEGACY)[]> {
  const names = await Promise.all(
    (['ip', 'ip6'] as const).map(async (family) => {
      const text = await readFile(`/proc/net/${family}_tables_names`, 'utf8').catch(() => '');
      return text.trim() === '' ? [] : [family];
    }),
  );
  return names.flat();
}

const DEADLINE_MS = 10_000;

async function listing(program: string, args: readonly string[]): Promise<string | undefined> {
  const result = await runProgram(program, args, { deadline: DEADLINE_MS });
  return result.kind === 'ended' && result.code === 0 ? result.stdout : undefined;
}
