/** What is printed and not taken: never a stack trace, and never the exit status of success. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { COMMAND_NAMES } from '../../../src/cli/commands/index.js';
import { EXIT } from '../../../src/cli/exit-codes.js';

const EXAMPLE = 'examples/web-and-database.yaml';
const EXPLAIN = ['explain', '-t', EXAMPLE, '--from', 'web-1', '--to', 'database-1', '--protocol', 'tcp', '--dst-port'];

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'portcullis-output-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

interface Ended {
  readonly exitCode: number | undefined;
  readonly stderr: string;
}

/** Runs the program within a line of bash, as $NODE $PROGRAM "$@". */
async function inShell(line: string, args: readonly string[]): Promise<Ended> {
  const env = { NODE: process.execPath, PROGRAM: 'dist/bin/portcullis.js', FOLDER: folder };
  const { exitCode, stderr } = await execa('bash', ['--norc', '-c', line, 'bash', ...args], { reject: false, env });
  return { exitCode, stderr };
}

const COMMANDS = [
  ['--version', ['--version']],
  ['--help', ['--help']],
  ['compile --dry-run', ['compile', '--dry-run', '-t', EXAMPLE]],
  ['check --json', ['check', EXAMPLE, '--json']],
  ['explain', [...EXPLAIN, '3306']],
  ['completion', ['completion', 'bash']],
] as const satisfies readonly (readonly [string, readonly string[]])[];

/** What is no fact but a summary for people. */
const SUMMARY = /^\d+ ports, .*\n?/;

it.each(COMMANDS)('%s: a full disk is one line and exit 74', async (_what, args) => {
  const { exitCode, stderr } = await inShell('"$NODE" "$PROGRAM" "$@" > /dev/full', args);
  expect([exitCode, stderr.replace(SUMMARY, '')]).toEqual([
    EXIT.inputOutput,
    'error: standard output: ENOSPC: no space left on device, write: what was printed is not whole',
  ]);
});

it.each([COMMANDS[0], COMMANDS[3]])('%s: a reader that went away is exit 74, without a word', async (_what, args) => {
  // It is gone before the first word.
  const { exitCode, stderr } = await inShell('exec 3> >(:); wait $!; "$NODE" "$PROGRAM" "$@" >&3', args);
  expect([exitCode, stderr.replace(SUMMARY, '')]).toEqual([EXIT.inputOutput, '']);
});

it('a disk that takes a part of what is printed is no success', async () => {
  const { exitCode, stderr } = await inShell('ulimit -f 4; "$NODE" "$PROGRAM" "$@" > "$FOLDER/part"', [
    ...['compile', '--dry-run', '-t', EXAMPLE],
  ]);
  expect([exitCode, stderr]).toEqual([
    EXIT.inputOutput,
    'error: standard output: EFBIG: file too large, write: what was printed is not whole',
  ]);
  expect(statSync(join(folder, 'part')).size).toBe(4096);
});

it('errors that nobody reads do not change the exit status', async () => {
  const { exitCode } = await inShell('"$NODE" "$PROGRAM" "$@" 2> /dev/full', ['check', 'absent.yaml']);
  expect(exitCode).toBe(EXIT.invalidInput);
});

it('export and backup of a store that is not there make nothing, a backup that fails leaves nothing', async () => {
  const store = join(folder, 'absent');
  for (const args of [
    ['export', '--store', store],
    ['backup', '--store', store, join(folder, 'b.json')],
  ]) {
    expect(await inShell('"$NODE" "$PROGRAM" "$@"', args)).toEqual({
      exitCode: EXIT.invalidInput,
      stderr: `error: ${store}: holds no store`,
    });
  }
  expect(readdirSync(folder).filter((name) => name !== 'part')).toEqual([]);
});

it('progress is said on a terminal where much is read, and nowhere else', () => {
  const file = join(folder, 'big.json');
  writeFileSync(file, `{"ports": []}${' '.repeat(5_000_000)}`);
  const run = `${process.execPath} dist/bin/portcullis.js check ${file}`;
  const onTerminal = execFileSync('script', ['-qec', run, '/dev/null'], { encoding: 'utf8' });
  expect(onTerminal).toContain('\r\u001b[Kreading 5 MB of topology ...\r\u001b[K0 ports, ');
  expect(execFileSync('bash', ['--norc', '-c', `${run} 2>&1`], { encoding: 'utf8' })).toMatch(/^0 ports, [^\r]*\n$/);
});

it('every exit status and every command stands in the manual, and no other status', () => {
  const page = readFileSync('docs/man/portcullis.1.md', 'utf8');
  const [, table = ''] = /\n## EXIT STATUS\n(.*?)\n## /s.exec(page) ?? [];
  const codes = [...table.matchAll(/^\| (\d+) \|/gm)].map(([, code]) => Number(code));
  expect(codes).toEqual(Object.values(EXIT));
  for (const name of COMMAND_NAMES) expect(page).toMatch(new RegExp(`portcullis-${name}\\([18]\\)|\`${name}\``));
  for (const file of readdirSync('docs/man')) {
    const [, section = ''] =
      /\n## EXIT STATUS\n(.*?)(?:\n## |$)/s.exec(readFileSync(join('docs/man', file), 'utf8')) ?? [];
    for (const [, code] of section.matchAll(/`(\d+)`/g)) expect(codes, file).toContain(Number(code));
  }
});
