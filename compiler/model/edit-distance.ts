/** How far two words are from one another: for whoever says what was probably meant. */

/** Names of users may be long; such a one is near to nothing. In characters. */
const LONG = 64;

/** Characters to put in, leave out, change or swap with their neighbour (optimal string alignment). */
export function editDistance(a: string, b: string): number {
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

/** The known name that is nearest, where one is near; '' for none. */
export function didYouMean(name: string, known: Iterable<string>): string {
  let nearest: { readonly name: string; readonly distance: number } | undefined;
  for (const other of known) {
    const distance = isPartOf(name, other) ? 1 : editDistance(name.toLowerCase(), other);
    if (distance <= Math.max(2, other.length / 4) && (nearest === undefined || distance < nearest.distance)) {
      nearest = { name: other, distance };
    }
  }
  return nearest === undefined ? '' : `: did you mean ${nearest.name}?`;
}

/** `remote_ip` of `remote_ip_prefix`, `port_range` of `port_range_min`: what somebody cut short; and `host_id` of `binding:host_id`. */
function isPartOf(name: string, other: string): boolean {
  const words = name.toLowerCase().replaceAll(/[_:-]+/g, '_');
  const text = other.replaceAll(/[_:-]+/g, '_');
  return (
    words.length >= 4 && (text.startsWith(words) || text.endsWith(words) || words.startsWith(text) || words === text)
  );
}
