/** What others wrote goes to a terminal: harmless there. */

/**
 * What others wrote, such as the name of a port, for a terminal on which it does nothing and stays on its line: what is not seen as a
 * character is written as its number.
 */
export function shownText(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`,
  );
}

/** {@link shownText} of every text of a document in JSON, for `JSON.parse`. */
export function asShown(_key: string, value: unknown): unknown {
  return typeof value === 'string' ? shownText(value) : value;
}

/** Whether somebody who sees it can type it, and it is one line. */
export function isShownAsItIs(text: string): boolean {
  return shownText(text) === text;
}
