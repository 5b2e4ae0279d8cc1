/** Versions of programs that we stand on. */

/** The oldest nft(8) whose listing and checks are known. */
export const LEAST_NFT = [1, 0, 6];

/** @param version numbers with dots between them. */
export function isAtLeast(version: string, least: readonly number[]): boolean {
  const parts = version.split('.').map(Number);
  for (const [index, number] of least.entries()) {
    const part = parts[index] ?? 0;
    if (part !== number) return part > number;
  }
  return true;
}
