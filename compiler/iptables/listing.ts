/** What is loaded, from the listings of iptables-save(8) and `ipset save`: our chains, the jumps to them, our sets. */
import { parseAddress, parsePrefix, type Family } from '../model/index.js';
import { isOurs, OF_THE_KERNEL } from './names.js';
import { canonicalRule } from './rule.js';
import type { FamilyTables, IpSet, IptablesChain } from './types.js';
import { readRawZones } from './zones.js';

/** Chains and jumps of ours in either table; of what others have there only what stands before our jumps. */
export function readIptables(listing: string): FamilyTables {
  const tables = { raw: new Map<string, string[]>(), mangle: new Map<string, string[]>() };
  let table: Map<string, string[]> | undefined;
  for (const line of listing.split('\n')) {
    if (line.startsWith('*'))
      table = line === '*raw' || line === '*mangle' ? tables[line.slice(1) as 'raw'] : undefined;
    if (table === undefined) continue;
    const declared = /^:(\S+)/.exec(line)?.[1];
    if (declared !== undefined) table.set(declared, []);
    const [, chain, rule] = /^-A (\S+) (.*)$/.exec(line) ?? [];
    if (chain === undefined || rule === undefined) continue;
    table.get(chain)?.push(isOurs(chain) ? canonicalRule(rule.trimEnd()) : rule.trimEnd());
  }
  const raw = ownChains(tables.raw);
  return { zones: readRawZones(raw), raw, mangle: ownChains(tables.mangle) };
}

function ownChains(table: ReadonlyMap<string, readonly string[]>): readonly IptablesChain[] {
  return [...table].flatMap(([name, rules]): readonly IptablesChain[] => {
    if (isOurs(name)) return [{ name, rules }];
    const jumps = rules.filter(isOwnJump);
    if (jumps.length === 0) return [];
    // A chain of somebody else's stays theirs, less its jumps to ours.
    if (!OF_THE_KERNEL.has(name)) return [{ name, rules: jumps }];
    const overtaking = rules.slice(0, rules.findLastIndex(isOwnJump)).filter((rule) => !isOwnJump(rule));
    const foreign = overtaking.map((text) => ({ text, isTerminal: isTerminal(text, table, new Set([name])) }));
    return [{ name, rules: jumps, ...(foreign.length === 0 ? {} : { overtaking: foreign }) }];
  });
}

function isOwnJump(rule: string): boolean {
  return rule.startsWith('-j ') && isOurs(rule.slice('-j '.length));
}

/** Targets behind which a packet goes on with the next rule (iptables-extensions(8)); of any other it is not known. */
const GOES_ON = new Set(
  (
    'AUDIT CHECKSUM CLASSIFY CONNMARK CONNSECMARK CT DSCP ECN HL HMARK IDLETIMER LED LOG MARK NFLOG NOTRACK RATEEST SECMARK SET ' +
    'TCPMSS TCPOPTSTRIP TEE TOS TRACE TTL ULOG'
  ).split(' '),
);

/** True when a packet may end at a rule, or in a chain that it leads to. */
function isTerminal(rule: string, table: ReadonlyMap<string, readonly string[]>, seen: Set<string>): boolean {
  const target = /(?:^| )-[jg] (\S+)/.exec(rule)?.[1];
  // Without a target it only counts.
  if (target === undefined || GOES_ON.has(target)) return false;
  const chain = table.get(target);
  if (chain === undefined) return true;
  if (seen.has(target)) return false;
  seen.add(target);
  // What returns from a chain that was jumped to goes on behind it.
  return (
    rule.includes(`-g ${target}`) || chain.some((one) => !one.endsWith('-j RETURN') && isTerminal(one, table, seen))
  );
}

/** What `ipset save` says of a set of ours beside its type: its options, each with a value. */
const OPTIONS = new Set(['family', 'hashsize', 'maxelem', 'bucketsize', 'initval', 'range']);
/** What may be swapped for one of ours: the kernel takes it for the same kind. */
const SWAPPED = 'bitmap:ip';

/**
 * Our sets, with entries as we write them. Sets of types that we do not make are left out. One that has what ours never have (a netmask,
 * timeouts, entries that do not match) gets the capacity 0: it is none of ours, whatever its name.
 */
export function readIpsets(listing: string): readonly IpSet[] {
  const sets = new Map<string, { set: Omit<IpSet, 'entries'>; readonly entries: string[] }>();
  for (const line of listing.split('\n')) {
    const [command, name = '', what = '', ...rest] = line.trimEnd().split(' ');
    const known = sets.get(name);
    if (command === 'add' && known !== undefined) {
      known.entries.push(what);
      if (rest.length > 0) known.set = { ...known.set, capacity: 0 };
    }
    if (command !== 'create' || !isOurs(name)) continue;
    if (what !== 'hash:ip' && what !== 'hash:net' && what !== 'bitmap:port' && what !== SWAPPED) continue;
    const isOfAnotherKind = what === SWAPPED || rest.some((word, index) => index % 2 === 0 && !OPTIONS.has(word));
    const option = (key: string): string | undefined => rest[rest.indexOf(key) + 1];
    const family: Family = rest.includes('family') && option('family') === 'inet6' ? 'IPv6' : 'IPv4';
    const capacity = isOfAnotherKind
      ? { capacity: 0 }
      : rest.includes('maxelem')
        ? { capacity: Number(option('maxelem')) }
        : {};
    const type = what === SWAPPED ? 'hash:ip' : what;
    sets.set(name, { set: { name, type, family, ...capacity }, entries: [] });
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
