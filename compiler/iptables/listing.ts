/** What is loaded, from the listings of iptables-save(8) and `ipset save`: our chains, the jumps to them, our sets. */
import { parseAddress, parsePrefix, type Family } from '../../src/model/index.js';
import { OURS } from './names.js';
import { canonicalRule } from './rule.js';
import type { FamilyTables, IpSet, IptablesChain } from './types.js';

/** Chains and jumps of ours in either table; what others have there is left out. */
export function readIptables(listing: string): FamilyTables {
  const tables = { raw: new Map<string, string[]>(), mangle: new Map<string, string[]>() };
  let table: Map<string, string[]> | undefined;
  for (const line of listing.split('\n')) {
    if (line.startsWith('*'))
      table = line === '*raw' || line === '*mangle' ? tables[line.slice(1) as 'raw'] : undefined;
    if (table === undefined) continue;
    const declared = /^:(\S+)/.exec(line)?.[1];
    if (declared?.startsWith(OURS) === true) table.set(declared, []);
    const [, chain, rule] = /^-A (\S+) (.*)$/.exec(line) ?? [];
    if (chain === undefined || rule === undefined) continue;
    if (chain.startsWith(OURS)) table.get(chain)?.push(canonicalRule(rule.trimEnd()));
    else if (rule.trimEnd().startsWith(`-j ${OURS}`)) table.set(chain, [...(table.get(chain) ?? []), rule.trimEnd()]);
  }
  const chains = (of: ReadonlyMap<string, readonly string[]>): readonly IptablesChain[] =>
    [...of].map(([name, rules]) => ({ name, rules }));
  return { raw: chains(tables.raw), mangle: chains(tables.mangle) };
}

/** Our sets, with entries as we write them. Sets of types that we do not make are left out. */
export function readIpsets(listing: string): readonly IpSet[] {
  const sets = new Map<string, { readonly set: Omit<IpSet, 'entries'>; readonly entries: string[] }>();
  for (const line of listing.split('\n')) {
    const [command, name = '', what = '', ...rest] = line.trimEnd().split(' ');
    if (command === 'add') sets.get(name)?.entries.push(what);
    if (command !== 'create' || !name.startsWith(OURS)) continue;
    if (what !== 'hash:ip' && what !== 'hash:net' && what !== 'bitmap:port') continue;
    const option = (key: string): string | undefined => rest[rest.indexOf(key) + 1];
    const family: Family = rest.includes('family') && option('family') === 'inet6' ? 'IPv6' : 'IPv4';
    const capacity = rest.includes('maxelem') ? { capacity: Number(option('maxelem')) } : {};
    sets.set(name, { set: { name, type: what, family, ...capacity }, entries: [] });
  }
  return [...sets.values()].map(({ set, entries }) => ({ ...set, entries: canonicalEntries(set.type, entries) }));
}

function canonicalEntries(type: IpSet['type'], entries: readonly string[]): readonly string[] {
  switch (type) {
    case 'hash:ip':
      return entries.map((entry) => parseAddress(entry)?.text ?? entry);
    case 'hash:net':
      return entries.map((entry) => (entry.includes('/') ? parsePrefix(entry) : parseAddress(entry))?.text ?? entry);
    case 'bitmap:port':
      return ranges(entries.map(Number).sort((a, b) => a - b));
  }
}

/** A bitmap lists each port for itself. */
function ranges(ports: readonly number[]): readonly string[] {
  const found: { first: number; last: number }[] = [];
  for (const port of ports) {
    const open = found.at(-1);
    if (open?.last === port - 1) open.last = port;
    else found.push({ first: port, last: port });
  }
  return found.map(({ first, last }) => (first === last ? first.toString() : `${first.toString()}-${last.toString()}`));
}
