/** How large a transaction of nf_tables is at least, before it is made. */
import type { NamedSet, Transaction } from '../../compiler/index.js';
import { paddedLength } from './nf-tables-sets.js';

/** Of one element: its own header, that of its key and that of the key's value; of what it leads to. Of a rule: that of its message, and its text. In bytes. */
const LEAST = { element: 12, data: 12, rule: 150 } as const;

/** Never more than `transactionMessages` takes, in bytes, without making it: a table of ten thousand ports takes seconds to make. */
export function leastBytes(transaction: Transaction): number {
  const ofElements = ({ fields, content }: Pick<NamedSet, 'fields' | 'content'>, count: number): number => {
    const data = content.data === 'verdict' || content.data === 'zone' ? LEAST.data : 0;
    return count * (LEAST.element + data + fields.reduce((sum, field) => sum + paddedLength(field), 0));
  };
  let bytes = 0;
  for (const change of transaction) {
    if (change.kind !== 'create' && change.kind !== 'replace') continue;
    for (const set of change.table.sets.values()) bytes += ofElements(set, set.content.elements.length);
    for (const { rules } of change.table.chains.values()) bytes += LEAST.rule * rules.length;
  }
  return bytes;
}
