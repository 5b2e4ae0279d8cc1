/** Finds what must be left out for the rest to be accepted, by halving: few at fault among many cost few tries. */

/**
 * @param accepts whether these alone are accepted.
 * @returns the items that are refused by themselves; `not the ports` when even none of them is refused.
 */
export async function isolate<Item>(
  items: readonly Item[],
  accepts: (items: readonly Item[]) => Promise<boolean>,
): Promise<readonly Item[] | 'not the ports'> {
  if (!(await accepts([]))) return 'not the ports';
  const search = async (some: readonly Item[]): Promise<readonly Item[]> => {
    if (await accepts(some)) return [];
    if (some.length === 1) return some;
    const middle = Math.ceil(some.length / 2);
    return [...(await search(some.slice(0, middle))), ...(await search(some.slice(middle)))];
  };
  return items.length === 0 ? [] : search(items);
}
