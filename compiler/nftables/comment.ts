/**
 * Comments: the only place where words of users reach nft, hence the only place to make them harmless.
 *
 * A rule's comment starts with a digest of the rule, so that what is loaded can be compared with what is wanted by
 * comments alone, whatever way this or another version of nft lists the rest.
 */
import { digest } from '../names.js';

/** The kernel keeps at most 128 bytes (NFTNL_UDATA_COMMENT_MAXLEN). */
const MOST_BYTES = 120;

/**
 * Text that cannot leave an nft string: nft has no escapes, so quotes, backslashes, control characters and line breaks
 * become `?`. Letters and digits of every script stay. Cut to fit, between characters.
 */
export function harmless(text: string): string {
  const safe = text.replace(/[^\p{L}\p{N} !#$%&'()*+,\-./:;<=>?@[\]^_{|}~]/gu, '?');
  if (Buffer.byteLength(safe) <= MOST_BYTES) return safe;
  let result = '';
  let bytes = 0;
  for (const character of safe) {
    bytes += Buffer.byteLength(character);
    if (bytes > MOST_BYTES - 3) break;
    result += character;
  }
  return `${result}...`;
}

/** The comment of a rule: eight hexadecimal digits over rule and label, then the label. */
export function ruleComment(ruleText: string, label: string): string {
  return harmless(`${digest(`${ruleText}\n${label}`, 8)} ${label}`);
}

/** What {@link ruleComment} said; one that is not ours has no digest. */
export function readComment(comment: string): { readonly digest: string; readonly label: string } {
  const [, found = '', label = ''] = /^(?:([0-9a-f]{8}) )?(.*)$/s.exec(comment) ?? [];
  return { digest: found, label };
}
