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

/** Whether a range of versions, as `engines` has it (`^18 || >= 20.5`), holds that one. */
function holds(range: string, [major, minor]: readonly [number, number]): boolean {
  return range.split('||').some((part) => {
    const [, kind, text = '', other = '0'] =
      /^\s*(>=|\^|)\s*(\d+|\*)(?:\.(\d+|[x*]))?(?:\.[\dx*]+)?\s*$/.exec(part) ?? [];
    if (kind === undefined) throw new Error(`"${range}" is no range that this test can read`);
    if (text === '*') return true;
    const least = Number(text);
    const isNewEnough =
      major > least || (major === least && (other === 'x' || other === '*' || minor >= Number(other)));
    return kind === '>=' ? isNewEnough : major === least && isNewEnough;
  });
}

it('every package that is shipped takes the oldest Node that we name', () => {
  const lock = JSON.parse(readFileSync('package-lock.json', 'utf8')) as {
    readonly packages: Readonly<Record<string, { readonly dev?: true; readonly engines?: { readonly node?: string } }>>;
  };
  const { engines } = lock.packages[''] ?? {};
  const [, major, minor] = /^>=(\d+)\.(\d+)$/.exec(engines?.node ?? '') ?? [];
  const oldest = [Number(major), Number(minor)] as const;
  const shipped = Object.entries(lock.packages).filter(([path, one]) => path !== '' && one.dev !== true);
  expect(shipped.length).toBeGreaterThan(50);
  expect(shipped.filter(([, one]) => !holds(one.engines?.node ?? '*', oldest)).map(([path]) => path)).toEqual([]);
  expect([holds('^22.12.0 || >=23', oldest), holds('>=20.20', oldest), holds('^18', oldest)]).toEqual([
    false,
    false,
    false,
  ]);
});
