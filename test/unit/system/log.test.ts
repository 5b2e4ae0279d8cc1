import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { LOG_IDS, priorityOf } from '../../../src/system/log.js';

// That no line is without an id the types say: `Log` takes none.
it('the manual lists every kind of line, with what it says', () => {
  const manual = readFileSync('docs/man/portcullis-agent.1.md', 'utf8');
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
