import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { LOG_IDS, priorityOf } from '../../../agent/log.js';

// That no line is without an id the types say: `Log` takes none.
it('the manual lists every kind of line, with what it says', () => {
  const manual = readFileSync('docs/man/portcullis-agent.8.md', 'utf8');
  const table = [...manual.matchAll(/^\| `([a-z-]+)` \| (.*) \|$/gm)].map(([, id = '', what]) => [id, what]);
  expect(Object.fromEntries(table)).toEqual(LOG_IDS);
});

it.each([
  [60, '<2>'],
  [50, '<3>'],
  [40, '<4>'],
  [30, '<6>'],
  [20, '<7>'],
])('level %i is priority %s of the journal', (level, priority) => {
  expect(priorityOf(`{"level":${level.toString()},"id":"applied"}\n`)).toBe(priority);
});

it('a log that the journal reads has priorities before its lines, any other has none', () => {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-log-'));
  const script = `const { makeLogger } = await import('${resolve('dist/src/cli/logger.js')}');
    const log = await makeLogger('info');
    log.error({ id: 'not-applied' }, 'no');
    log.info({ id: 'applied' }, 'yes');`;
  const logged = (name: string, streamOf: (of: string) => string): readonly string[] => {
    const path = join(folder, name);
    const descriptor = openSync(path, 'w');
    onTestFinished(() => {
      closeSync(descriptor);
      rmSync(folder, { recursive: true, force: true });
    });
    const { dev, ino } = statSync(path, { bigint: true });
    execFileSync(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'ignore', descriptor],
      env: { ...process.env, JOURNAL_STREAM: streamOf(`${dev.toString()}:${ino.toString()}`) },
    });
    return readFileSync(path, 'utf8').trimEnd().split('\n');
  };
  const [error = '', info = ''] = logged('journal', (stream) => stream);
  expect([error.slice(0, 4), info.slice(0, 4)]).toEqual(['<3>{', '<6>{']);
  expect(JSON.parse(error.slice(3))).toMatchObject({ level: 50, id: 'not-applied', msg: 'no' });
  // Somebody further up had the journal behind it.
  expect(logged('file', (stream) => `${stream}0`).map((line) => line.slice(0, 1))).toEqual(['{', '{']);
});
