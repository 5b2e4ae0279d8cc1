/**
 * What a notice of nf_tables means for our rules in iptables: iptables-nft keeps them in tables of that name. What others do in
 * chains of their own, behind our jumps, or in other tables, means nothing.
 */
import { IPTABLES_HOOKS, isOursInIptables as isOurs, mentionsOurs } from '../../compiler/index.js';
import { NFT_TABLE_F_DORMANT } from '../netlink/nf-tables-header.js';
import type { NfTablesEvent } from '../netlink/nf-tables.js';

/** `gone`: less of ours may be there. `touched`: something stands in our chains, or before our jumps, that did not. */
export type IptablesTouch = 'gone' | 'touched';

const FAMILIES = ['ip', 'ip6'];
const TABLES = ['raw', 'mangle'];

export function iptablesTouch({
  family,
  table,
  what,
}: Extract<NfTablesEvent, { kind: 'table' }>): IptablesTouch | undefined {
  if (!FAMILIES.includes(family) || !TABLES.includes(table)) return undefined;
  switch (what.kind) {
    case 'table':
      // One that sees no packet is as good as gone; iptables itself makes none of these.
      return (what.flags & NFT_TABLE_F_DORMANT) === 0 ? undefined : 'gone';
    case 'table-gone':
      return 'gone';
    case 'chain':
      return isOurs(what.chain) ? 'touched' : undefined;
    case 'chain-gone':
      return isOurs(what.chain) || IPTABLES_HOOKS.has(what.chain) ? 'gone' : undefined;
    case 'rule':
      // Behind all that is there it stands behind our jump.
      return isOurs(what.chain) || (IPTABLES_HOOKS.has(what.chain) && !what.isAppended) ? 'touched' : undefined;
    case 'rule-gone':
      if (isOurs(what.chain)) return 'gone';
      return IPTABLES_HOOKS.has(what.chain) && mentionsOurs(what.bytes) ? 'gone' : undefined;
    case 'elements':
    case 'other':
      return undefined;
  }
}
