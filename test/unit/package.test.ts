/** What `npm pack` ships. */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';

interface Manifest {
  readonly dependencies: Readonly<Record<string, string>>;
  readonly bundleDependencies: readonly string[];
}

it('everything that the program needs is in its file: where it is unpacked nothing is downloaded', () => {
  const { dependencies, bundleDependencies } = JSON.parse(readFileSync('package.json', 'utf8')) as Manifest;
  expect([...bundleDependencies].sort()).toEqual(Object.keys(dependencies).sort());
});
