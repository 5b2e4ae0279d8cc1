/** Changes of member sets, from the steps that the incremental compiler gives for nftables: names and contents are the same. */
import { parsePrefix } from '../model/index.js';
import type { Change, Transaction } from '../nftables/transaction.js';
import { readMemberSetName } from '../ruleset/member-set-names.js';
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
    const name = setOf(change);
    const members = name === undefined ? undefined : readMemberSetName(name);
    if (name === undefined || members === undefined) {
      isMore = true;
      continue;
    }
    const { family, holds } = members;
    const entries = (elements: readonly { readonly key: string }[]): readonly string[] =>
      elements.flatMap(({ key }) => (holds === 'addresses' ? [key] : netEntriesOf(key)));
    const known = changed.get(name) ?? { added: [], removed: [] };
    switch (change.kind) {
      case 'add-set':
        made.set(name, { name: setName(name), type: holds === 'addresses' ? 'hash:ip' : 'hash:net', family });
        isMore = true;
        break;
      case 'delete-set':
        gone.push({ kind: 'destroy-set', name: setName(name) });
        isMore = true;
        break;
      case 'add-elements':
        changed.set(name, { ...known, added: entries(change.elements) });
        break;
      case 'delete-elements':
        changed.set(name, { ...known, removed: entries(change.elements) });
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

function setOf(change: Change): string | undefined {
  switch (change.kind) {
    case 'add-set':
      return change.set.name;
    case 'add-elements':
    case 'delete-elements':
    case 'delete-set':
      return change.set;
    case 'add-chain':
    case 'rewrite-chain':
    case 'delete-chain':
      return undefined;
  }
}

function netEntriesOf(text: string): readonly string[] {
  const prefix = parsePrefix(text);
  return prefix === undefined ? [text] : netEntries(prefix);
}
