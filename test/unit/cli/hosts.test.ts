/** Whether a host has a revision in force: what is not sure is not claimed. */
import { expect, it } from 'vitest';
import { missingFrom, whyNotThere, type HostLine } from '../../../src/cli/hosts-of-api.js';

const WELL: HostLine = {
  host: 'compute-1',
  alive: true,
  heard_seconds_ago: 0,
  behind_seconds: null,
  version: '0.1.0',
  revision: 7,
  enforced: true,
  trouble: null,
  ports: 1,
  refused: [],
  isolated: 0,
  drift: 0,
};

it.each<[string, Partial<HostLine>, string | undefined]>([
  ['has it', {}, undefined],
  ['has a newer one', { revision: 9 }, undefined],
  ['has an older one', { revision: 6 }, 'it has revision 6'],
  ['has an older one, and says why', { revision: 6, trouble: 'nft hangs' }, 'it has revision 6: nft hangs'],
  ['has none', { revision: null }, 'nothing is in force yet'],
  ['has it, and the kernel does not hold it', { enforced: false, trouble: 'dormant' }, 'dormant'],
  ['only audits', { enforced: false, trouble: null }, 'nothing is enforced'],
  ['has it, but for a port', { refused: [{ port: 'p', why: 'too long' }] }, 'the kernel refuses port p: too long'],
])('a host that %s', (_name, more, why) => {
  expect(whyNotThere({ ...WELL, ...more }, 7)).toBe(why);
});

it('what a process of the API that has just begun does not know yet is not claimed', () => {
  const silent = { ...WELL, alive: false };
  expect(missingFrom({ revision: 7, listening_seconds: 19, hosts: [WELL] }, 7)).toEqual([
    'the API has listened for 19 s: a host may not have spoken yet',
  ]);
  expect(missingFrom({ revision: 7, listening_seconds: 20, hosts: [WELL, silent] }, 7)).toEqual([]);
  expect(missingFrom({ revision: 7, listening_seconds: 20, hosts: [silent] }, 7)).toEqual([
    'no host reports to this API',
  ]);
  expect(missingFrom({ revision: 9, listening_seconds: 20, hosts: [WELL] }, 9)).toEqual([
    'compute-1: it has revision 7',
  ]);
});
