/** Changes of member sets, from the steps that the incremental compiler gives for nftables: names and contents are the same. */
import { parsePrefix } from '../model/index.js';
import type { Transaction } from '../nftables/transaction.js';
import type { Change, Element, ListedElement, SetHead } from '../ruleset/change.js';
import { netEntries } from './group.js';
import { setName } from './names.js';
import type { IpSet, SetChange } from './types.js';

export interface MemberChanges {
  readonly sets: readonly SetChange[];
  /** True when there is something else in the transaction: then the rules must be compiled. */
  readonly isMore: boolean;
}

/**
 * @param isLocal whether a port of this host is among what changed: what these rules say of stateless ports depends on all others, where
 * nftables has nothing to do.
 */
export function memberChanges(transaction: Transaction, isLocal: boolean): MemberChanges {
  const changed = new Map<string, { added: readonly string[]; removed: readonly string[] }>();
  const made = new Map<string, Omit<IpSet, 'entries'>>();
  const gone: SetChange[] = [];
  let isMore = isLocal;
  for (const change of transaction.flatMap((table) => (table.kind === 'update' ? table.changes : []))) {
    const set = setOf(change);
    if (set?.role.kind !== 'members') {
      isMore = true;
      continue;
    }
    const { name, role } = set;
    const known = changed.get(name) ?? { added: [], removed: [] };
    switch (change.kind) {
      case 'add-set':
        made.set(name, { name: setName(name), type: IPSET_TYPE[role.holds], family: role.family });
        isMore = true;
        break;
      case 'delete-set':
        gone.push({ kind: 'destroy-set', name: setName(name) });
        isMore = true;
        break;
      case 'add-elements':
        changed.set(name, { ...known, added: change.elements.flatMap(entriesOf) });
        break;
      case 'delete-elements':
        changed.set(name, { ...known, removed: change.elements.flatMap(entriesOf) });
        break;
      case 'add-chain':
      case 'rewrite-chain':
      case 'delete-chain':
        break;
    }
  }
  const sets: SetChange[] = [...made].map(([name, set]) => ({
    kind: 'create-set',
    set: { ...set, entries: changed.get(name)?.added ?? [] },
  }));
  for (const [name, { added, removed }] of changed) {
    if (!made.has(name)) sets.push({ kind: 'change-set', name: setName(name), added, removed });
  }
  return { sets: [...sets, ...gone], isMore };
}

const IPSET_TYPE = { addresses: 'hash:ip', prefixes: 'hash:net' } as const;

function setOf(change: Change): Pick<SetHead, 'name' | 'role'> | undefined {
  switch (change.kind) {
    case 'add-set':
    case 'add-elements':
    case 'delete-elements':
      return change.set;
    case 'delete-set':
      return { name: change.set, role: change.role };
    case 'add-chain':
    case 'rewrite-chain':
    case 'delete-chain':
      return undefined;
  }
}

/** A member is one address or prefix: of an address it is the same entry in either kind of set. */
function entriesOf(element: Element | ListedElement): readonly string[] {
  const [member] = 'listed' in element ? [parsePrefix(element.listed)] : 'key' in element ? element.key : element;
  return typeof member === 'object' && 'family' in member ? netEntries(member) : [];
}
