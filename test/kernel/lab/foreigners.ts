/** What others do to a host whose agent is at work, one thing after the other: commands of nft(8), and what hangs or lies. */
import type { WrappedNft } from './wrapped-nft.js';

/** In the comment of rules that open, so that the witness knows them. */
export const FOREIGN = 'foreign';

export interface Foreigner {
  readonly name: string;
  /** Commands that open our table; none for what opens nothing. */
  readonly opens?: string;
  /** Commands that concern no table of ours. */
  readonly harmless?: string;
  /** The next load does this instead, once; text of sh(1). */
  readonly nft?: string;
  /** For how long the watching process is stopped meanwhile; in milliseconds. */
  readonly stops?: number;
}

const flush = 'flush ruleset';
const rule = ['egress', 'ingress']
  .map((chain) => `insert rule inet portcullis ${chain} accept comment "${FOREIGN}"`)
  .join('; ');
const other = 'add table inet pctest_other; add chain inet pctest_other c { type filter hook forward priority 5; }';

export const FOREIGNERS: readonly Foreigner[] = [
  { name: 'flush ruleset', opens: flush },
  { name: 'delete our table', opens: 'delete table inet portcullis' },
  { name: 'our table dormant', opens: 'add table inet portcullis { flags dormant; }' },
  { name: 'a rule that accepts', opens: rule },
  { name: 'a table of their own', harmless: `${other}; add rule inet pctest_other c counter accept` },
  { name: 'nft hangs', nft: 'exec sleep 100000' },
  { name: 'nft says yes and does nothing', nft: 'cat > /dev/null; exit 0' },
  { name: 'the watching process is stopped', stops: 1500 },
  { name: 'flush ruleset, and nobody watches', opens: flush, stops: 1500 },
  { name: 'a rule that accepts, and nobody watches', opens: rule, stops: 1500 },
];

/** What a load of ours meets: see {@link Foreigner.nft}. */
export const LOADS: ConstructorParameters<typeof WrappedNft>[1] = '"-f -"';
