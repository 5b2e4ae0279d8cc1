/** What somebody meant who mistyped a word. */

/** Names of users may be long; such a one is near to nothing. In characters. */
const LONG = 64;

/** Characters to put in, leave out, change or swap with their neighbour (optimal string alignment). */
function editDistance(a: string, b: string): number {
  if (a.length > LONG) return a.length;
  let before: readonly number[] = [];
  let last: readonly number[] = Array.from({ length: b.length + 1 }, (_none, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const next = [row];
    for (let column = 1; column <= b.length; column++) {
      const isSame = a[row - 1] === b[column - 1];
      const isSwapped = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1];
      next.push(
        Math.min(
          (last[column] ?? 0) + 1,
          (next[column - 1] ?? 0) + 1,
          (last[column - 1] ?? 0) + (isSame ? 0 : 1),
          isSwapped ? (before[column - 2] ?? 0) + 1 : Infinity,
        ),
      );
    }
    before = last;
    last = next;
  }
  return last[b.length] ?? 0;
}

/** The word that is nearest, where one is near: a third of its letters may be wrong, and two of a short one, but never all. */
export function nearest(typed: string, words: Iterable<string>): string | undefined {
  let best: { readonly word: string; readonly steps: number; readonly distance: number } | undefined;
  for (const word of words) {
    const distance = editDistance(typed.toLowerCase(), word.toLowerCase());
    const steps = isPartOf(typed, word) ? 1 : distance;
    const most = Math.max(2, Math.floor(word.length / 3));
    if (steps > most || steps >= word.length) continue;
    // Of two that what was typed is a part of, or has as a part, the one that is nearer.
    if (best === undefined || steps < best.steps || (steps === best.steps && distance < best.distance))
      best = { word, steps, distance };
  }
  return best?.word;
}

/** `: did you mean WORD?`, or nothing. */
export function didYouMean(typed: string, words: Iterable<string>): string {
  const word = nearest(typed, words);
  return word === undefined ? '' : `: did you mean ${word}?`;
}

/** `remote_ip` of `remote_ip_prefix`, `port_range` of `port_range_min`: what somebody cut short; `host_id` of `binding:host_id`; and more than there is. */
function isPartOf(typed: string, word: string): boolean {
  const part = typed.toLowerCase().replaceAll(/[_:-]+/g, '_');
  const whole = word.toLowerCase().replaceAll(/[_:-]+/g, '_');
  if (part.length >= 3 && whole.startsWith(part)) return true;
  return part.length >= 4 && (whole.endsWith(part) || part.startsWith(whole));
}
