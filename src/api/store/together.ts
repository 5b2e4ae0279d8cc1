/**
 * Does the same with each of many, so many at a time.
 * @returns what came of each, in the order in which they came to their end.
 * @throws what the first one that fails throws, when those under way have come to their end; nothing more is begun then.
 */
export async function together<T, R>(
  items: readonly T[],
  most: number,
  work: (item: T) => Promise<R>,
): Promise<readonly R[]> {
  const rest = items.values();
  const results: R[] = [];
  const failures: unknown[] = [];
  await Promise.all(
    Array.from({ length: Math.min(most, items.length) }, async () => {
      for (const item of rest) {
        if (failures.length > 0) return;
        try {
          results.push(await work(item));
        } catch (error) {
          failures.push(error);
        }
      }
    }),
  );
  if (failures.length > 0) throw failures[0];
  return results;
}
