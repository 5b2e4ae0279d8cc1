/** Whose rules write whole conntrack marks, and with them ours. */
import { runProgram } from './program.js';

/**
 * Rules of others that write a conntrack mark without keeping the bits that it has, as far as their programs list them.
 * @returns each as a line that names its table and chain.
 */
export async function markWriters(): Promise<readonly string[]> {
  const [nft, ip4, ip6] = await Promise.all([
    listing('nft', ['list', 'ruleset']),
    listing('iptables-save', ['-t', 'mangle']),
    listing('ip6tables-save', ['-t', 'mangle']),
  ]);
  return [...new Set([...nftWriters(nft), ...iptablesWriters('iptables', ip4), ...iptablesWriters('ip6tables', ip6)])];
}

/** A program that is not there, or cannot list, has nothing to say. */
async function listing(program: string, args: readonly string[]): Promise<string> {
  const result = await runProgram(program, args);
  return result.kind === 'ended' && result.code === 0 ? result.stdout : '';
}

/** From the output of `nft list ruleset`: `ct mark set` of something that is not made of the mark itself. */
export function nftWriters(listed: string): readonly string[] {
  let table = '';
  let chain = '';
  const found: string[] = [];
  for (const line of listed.split('\n')) {
    table = /^table (\S+ \S+) \{/.exec(line)?.[1] ?? table;
    chain = /^\tchain (\S+) \{/.exec(line)?.[1] ?? chain;
    const isOurs = table.endsWith(' portcullis');
    if (!isOurs && /\bct mark set (?!ct mark )/.test(line))
      found.push(`nft table ${table}, chain ${chain}: ${line.trim()}`);
  }
  return found;
}

/** From the output of `iptables-save -t mangle`. */
export function iptablesWriters(program: string, listed: string): readonly string[] {
  return listed
    .split('\n')
    .filter((line) => line.startsWith('-A ') && !line.startsWith('-A pc-'))
    .filter((line) =>
      /-j CONNMARK (--set-x?mark 0x[0-9a-f]+\/0xffffffff|--save-mark( --nfmask 0xffffffff --ctmask 0xffffffff)?$)/.test(
        line,
      ),
    )
    .map((line) => `${program} mangle: ${line}`);
}
