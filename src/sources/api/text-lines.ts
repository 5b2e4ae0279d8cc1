/** Lines of a text that comes in pieces. */
export class TextLines {
  /** Of the line that is not ended yet. */
  #pieces: string[] = [];

  /**
   * What costs is the piece alone, however much of its line came before: a whole topology is one line, of tens of megabytes.
   * @returns the lines that end within it, without their ends.
   */
  take(piece: string): readonly string[] {
    const [first = '', ...others] = piece.split('\n');
    this.#pieces.push(first);
    const last = others.pop();
    if (last === undefined) return [];
    const lines = [this.#pieces.join(''), ...others];
    this.#pieces = [last];
    return lines;
  }
}
