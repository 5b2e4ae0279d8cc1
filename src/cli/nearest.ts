/** What somebody meant who mistyped a word. */

/** The word that is nearest, where one is near: a third of its letters may be wrong, and two of a short one. */
export function nearest(typed: string, words: Iterable<string>): string | undefined {
  let best: { readonly word: string; readonly steps: number } | undefined;
  for (const word of words) {
    const steps = isBeginning(typed, word) ? 1 : stepsBetween(typed.toLowerCase(), word.toLowerCase());
    const most = Math.max(2, Math.floor(word.length / 3));
    if (steps <= most && steps < word.length && (best === undefined || steps < best.steps)) best = { word, steps };
  }
  return best?.word;
}

/** Who types half of a word means that word. */
function isBeginning(typed: string, word: string): boolean {
  return typed.length >= 3 && word.startsWith(typed);
}

/** `: did you mean WORD?`, or nothing. */
export function suggestion(typed: string, words: Iterable<string>): string {
  const word = nearest(typed, words);
  return word === undefined ? '' : `: did you mean ${word}?`;
}

/** Letters to insert, take away, change or swap with their neighbour (optimal string alignment). */
function stepsBetween(a: string, b: string): number {
  let before: readonly number[] = [];
  let last: readonly number[] = Array.from({ length: b.length + 1 }, (_, column) => column);
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
