/** What the test of docs/deploy.md takes for a block, and that nothing is passed over that somebody would paste. */
import { expect, it } from 'vitest';
import { sectionsOf } from '../container/lab/manual.js';

it('a block is for the machines that stand at its head, in the section that it stands in', () => {
  const page = ['# Page', 'words', '## One', '```sh node-1 node-2', 'a', '', '# b', '```', '```sh every', 'c', '```'];
  expect(sectionsOf('page', page.join('\n'))).toEqual([
    { heading: '', blocks: [] },
    { heading: 'Page', blocks: [] },
    {
      heading: 'One',
      blocks: [
        { place: 'page:4', machines: ['node-1', 'node-2'], text: 'a\n\n# b' },
        { place: 'page:9', machines: ['every'], text: 'c' },
      ],
    },
  ]);
});

it.each([
  ['a block of no machine', '```sh\na\n```', /page:1: a block that does not say where/],
  ['a block of another kind', 'x\n```text node-1\na\n```', /page:2: a block that does not say where/],
  ['a block in a list', '- x\n  ```sh node-1\n  a\n  ```', /page:2: a block that does not say where/],
  ['tildes', '~~~sh node-1\na\n~~~', /page:1: a block that does not say where/],
  ['an indented block', 'x\n\n    a', /page:3: an indented block/],
  ['a block without an end', '```sh node-1\na', /page:1: a block without an end/],
])('%s is refused', (_what, page, why) => {
  expect(() => sectionsOf('page', page)).toThrow(why);
});
