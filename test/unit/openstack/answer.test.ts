/** What is said of a service that does not answer. */
import { createServer } from 'node:net';
import { expect, it } from 'vitest';
import { asked, reasonOf } from '../../../src/openstack/answer.js';

it('nobody listens, at any address of a name: it is said in words', async () => {
  // What Node's fetch rejects with where a name has several addresses.
  const ofSeveral = new TypeError('fetch failed', {
    cause: new AggregateError([new Error('no'), new Error('no')], ''),
  });
  expect(reasonOf(ofSeveral)).toBe('fetch failed');
  expect(reasonOf(new TypeError('fetch failed', { cause: new Error('connect ECONNREFUSED\nat') }))).toBe(
    'connect ECONNREFUSED',
  );
  const server = createServer().listen(0, '127.0.0.1');
  const port = await new Promise<number>((resolve) => {
    server.once('listening', () => {
      const at = server.address();
      resolve(typeof at === 'object' && at !== null ? at.port : 0);
    });
  });
  await new Promise((resolve) => server.close(resolve));
  const url = `http://localhost:${port.toString()}/v3`;
  await expect(asked(`${url}?token=x`, {})).rejects.toThrow(new RegExp(`^${url}: \\S`));
});
