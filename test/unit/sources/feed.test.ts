import { expect, it } from 'vitest';
import { EMPTY_TOPOLOGY } from '../../../compiler/model/index.js';
import { parseFeedLine, TopologyFeed } from '../../../src/sources/feed/feed.js';

const whole = { reset: true, ports: [], security_groups: [] };
const doubtOf = (feed: TopologyFeed, line: object): string | undefined => {
  const event = feed.take(parseFeedLine(JSON.stringify(line)), EMPTY_TOPOLOGY);
  return event.kind === 'topology' ? event.doubt : 'no whole';
};

it('a feed that does not begin with everything is refused, and one whose revisions go back', () => {
  const feed = new TopologyFeed('x');
  expect(() => feed.take({ revision: 7 }, EMPTY_TOPOLOGY)).toThrow('does not begin with everything');
  feed.take({ revision: 7, reset: true }, EMPTY_TOPOLOGY);
  feed.take({ revision: 8 }, EMPTY_TOPOLOGY);
  expect(() => feed.take({ revision: 7 }, EMPTY_TOPOLOGY)).toThrow('revisions only grow');
});

it('a whole of an older revision or of another store is doubted until somebody accepts it', () => {
  const feed = new TopologyFeed('x');
  expect(doubtOf(feed, { ...whole, revision: 5, store: 'a' })).toBeUndefined();
  expect(doubtOf(feed, { ...whole, revision: 1, store: 'a' })).toContain('older than 5');
  feed.take({ revision: 2 }, EMPTY_TOPOLOGY);
  expect(doubtOf(feed, { ...whole, revision: 3, store: 'a' })).toContain('older than 5');
  expect(doubtOf(feed, { ...whole, revision: 9, store: 'b' })).toContain('another store');
  feed.accept();
  expect(doubtOf(feed, { ...whole, revision: 9, store: 'b' })).toBeUndefined();
  expect(doubtOf(feed, { ...whole, revision: 10, store: 'b' })).toBeUndefined();
});

it.each([
  ['nothing of JSON', '{'],
  ['a key twice', '{"revision":1,"revision":2}'],
  ['no bottom', `{"revision":1,"ports":[{"id":"x","y":${'['.repeat(1000)}${']'.repeat(1000)}}]}`],
  ['no revision', '{"reset":true}'],
])('a line with %s is refused in one line', (_what, text) => {
  expect(() => parseFeedLine(text)).toThrow(/^[^\n]+$/);
});
