/**
 * The boot-time baseline: every device of the managed prefixes is closed, in both datapaths, before anything is known of
 * ports. The base chains are those of the full ruleset, which later fills them in place.
 */
import type { CompileOptions } from './options.js';
import { closedTable } from './ruleset/closed.js';
import type { Table } from './ruleset/types.js';

/** The baseline's tables. Only `devicePrefixes` of the options matters. */
export function baselineTables(options: CompileOptions): readonly Table[] {
  return (['inet', 'arp', 'bridge'] as const).map((family) => closedTable(family, options));
}
