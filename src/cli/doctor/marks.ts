/** Rules of others that use bits of the conntrack mark which are ours, that hide flows, or that lead packets past rules. */
import {
  foreignRulesInIptables,
  foreignRulesInNft,
  type ForeignRule,
  type IptablesListing,
} from '../../../agent/index.js';
import type { FlowBits } from '../../../compiler/index.js';
import { named, ok, unknown, warning, type Finding } from './finding.js';

/** A whole mark. */
const WHOLE = 0xffff_ffff;

export interface ForeignRules {
  /** Output of `nft list table`, one of each foreign table. */
  readonly nft: readonly string[];
  readonly iptables: readonly IptablesListing[];
  /** What could not be listed. */
  readonly untold: readonly string[];
}

export function judgeMarks({ nft, iptables, untold }: ForeignRules, bits: FlowBits): readonly Finding[] {
  const ours = (bits.originator | bits.responder | bits.revoked) >>> 0;
  const rules = [...nft.flatMap(foreignRulesInNft), ...iptables.flatMap(foreignRulesInIptables)];
  const findings = rules.flatMap((rule) => judgeRule(rule, ours));
  const notListed = untold.length === 0 ? [] : [unknown(`cannot be listed: ${named(untold)}`)];
  if (findings.length + notListed.length > 0) return [...findings, ...notListed];
  return [ok(`no rule of others uses our bits of the conntrack mark (${hex(ours)}), or keeps flows from tracking`)];
}

function judgeRule({ where, text }: ForeignRule, ours: number): readonly Finding[] {
  const { written, read } = bitsUsed(text);
  const rule = `${where}: ${text}`;
  const findings: Finding[] = [];
  if ((written & ours) !== 0) {
    findings.push(
      warning(
        `writes our bits of the conntrack mark: answers in allowed flows stop: ${rule}`,
        `keep the bits ${hex(ours)} there (ct mark set ct mark & ... | ..., --set-xmark VALUE/MASK), or choose others (--admitted-mark, --revoked-mark)`,
      ),
    );
  }
  if ((read & ours) !== 0) {
    findings.push(
      warning(
        `reads our bits of the conntrack mark, and finds them set: ${rule}`,
        `ask there for other bits alone (ct mark & ${hex(~ours)} == ..., --mark VALUE/MASK), or choose others for us (--admitted-mark, --revoked-mark)`,
      ),
    );
  }
  if (/(^|\s)notrack(\s|$)|-j (NOTRACK|CT .*--notrack)/.test(text)) {
    findings.push(
      warning(`keeps flows from being tracked: their answers are dropped: ${rule}`, 'except guests’ packets there'),
    );
  }
  if (/\bflow (add|offload) @|-j FLOWOFFLOAD\b/.test(text)) {
    findings.push(
      warning(
        `leads flows past later rules: a permission that is revoked does not cut them: ${rule}`,
        'except guests’ packets there',
      ),
    );
  }
  return findings;
}

/** Which bits of a flow's mark a rule writes, and which it asks for. */
export function bitsUsed(text: string): { readonly written: number; readonly read: number } {
  return text.startsWith('-A ') ? bitsOfIptables(text) : bitsOfNft(text);
}

/** nft lists what is made of the mark itself as `ct mark set ct mark & A | B`; what it translates for iptables has the words. */
const NFT_WRITE = /\bct mark set ((?:ct mark)?)((?: (?:&|\||\^|and|or|xor) 0x[0-9a-f]+)*)/g;
const NFT_READ = /\bct mark(?: (?:&|and) (0x[0-9a-f]+))?/g;

function bitsOfNft(text: string): { readonly written: number; readonly read: number } {
  let [written, read] = [0, 0];
  const rest = text.replaceAll(NFT_WRITE, (_all, base: string, changes: string) => {
    written |= base === '' || changes === '' ? WHOLE : changedBy(changes);
    return '';
  });
  for (const [, mask] of rest.matchAll(NFT_READ)) read |= mask === undefined ? WHOLE : Number(mask);
  return { written: written >>> 0, read: read >>> 0 };
}

/** @param changes ` & 0xffffff00 | 0x5`, in the order in which they are made. */
function changedBy(changes: string): number {
  let bits = 0;
  for (const [, operator, number] of changes.matchAll(/(&|\||\^|and|or|xor) (0x[0-9a-f]+)/g)) {
    bits |= operator === '&' || operator === 'and' ? ~Number(number) : Number(number);
  }
  return bits;
}

function bitsOfIptables(text: string): { readonly written: number; readonly read: number } {
  const number = (pattern: RegExp, otherwise: number): number => {
    const found = pattern.exec(text)?.[1];
    return found === undefined ? otherwise : Number(found);
  };
  let [written, read] = [0, 0];
  if (text.includes('-m connmark')) read |= number(/-m connmark (?:! )?--mark \S+?\/(0x[0-9a-f]+)/, WHOLE);
  if (text.includes('-j CONNMARK')) {
    if (text.includes('--set-'))
      written |= number(/--set-x?mark \S+?\/(0x[0-9a-f]+)/, WHOLE) | number(/--set-x?mark (0x[0-9a-f]+)/, 0);
    if (text.includes('--save-mark')) written |= number(/--ctmask (0x[0-9a-f]+)/, WHOLE);
    if (text.includes('--restore-mark')) read |= number(/--ctmask (0x[0-9a-f]+)/, WHOLE);
  }
  return { written: written >>> 0, read: read >>> 0 };
}

function hex(bits: number): string {
  return `0x${(bits >>> 0).toString(16).padStart(8, '0')}`;
}
