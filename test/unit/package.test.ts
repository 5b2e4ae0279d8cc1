/** What `npm pack` ships. */
import { existsSync, readFileSync } from 'node:fs';
import { execa } from 'execa';
import { expect, it } from 'vitest';
import { codeBlocks } from '../support/pasted.js';

interface Manifest {
  readonly dependencies: Readonly<Record<string, string>>;
  readonly bundleDependencies: readonly string[];
  readonly bin: Readonly<Record<string, string>>;
  readonly exports: Readonly<Record<string, string>>;
  readonly files: readonly string[];
}

function manifest(): Manifest {
  return JSON.parse(readFileSync('package.json', 'utf8')) as Manifest;
}

it('what package.json names is there', () => {
  const { bin, exports, files } = manifest();
  const named = [...Object.values(bin), ...Object.values(exports), ...files];
  expect(named.length).toBeGreaterThan(8);
  expect(named.filter((path) => !existsSync(path))).toEqual([]);
});

it('the compiler can be imported by its name, as docs/library.md does it', async () => {
  const [code = ''] = codeBlocks(readFileSync('docs/library.md', 'utf8'), 'js');
  const { stdout, stderr } = await execa('node', ['--input-type=module', '--eval', code]);
  expect(stderr).toBe('');
  const { stdout: compiled } = await execa('node', [
    ...['dist/bin/portcullis.js', 'compile', '--dry-run', '-t', 'examples/web-and-database.yaml'],
    ...['--host', 'compute-1'],
  ]);
  expect(stdout).toMatch(/^table \w+ portcullis \{$/m);
  expect(compiled).toContain(stdout);
});

it('everything that the program needs is in its file: where it is unpacked nothing is downloaded', () => {
  const { dependencies, bundleDependencies } = manifest();
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
