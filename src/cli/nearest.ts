/** What somebody meant who mistyped a word. */
import { editDistance } from '../../compiler/model/edit-distance.js';

/** The word that is nearest, where one is near: a third of its letters may be wrong, and two of a short one. */
export function nearest(typed: string, words: Iterable<string>): string | undefined {
  let best: { readonly word: string; readonly steps: number } | undefined;
  for (const word of words) {
    const steps = isBeginning(typed, word) ? 1 : editDistance(typed.toLowerCase(), word.toLowerCase());
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
