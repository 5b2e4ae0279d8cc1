import { expect, it } from 'vitest';
import { CountingSince } from '../../../agent/counting-since.js';
import { stateOf, type Chain, type Table } from '../../../compiler/index.js';

const chain = (name: string): Chain => ({ name, comment: '', rules: [], role: { kind: 'fixed' } });
const table: Table = { family: 'inet', name: 'portcullis', sets: new Map(), chains: new Map([['a', chain('a')]]) };
const update = (...changes: Extract<Parameters<CountingSince['wrote']>[0][number], { kind: 'update' }>['changes']) =>
  ({ kind: 'update', family: 'inet', name: 'portcullis', changes }) as const;

it('a chain counts since it was written, all of a table since that was made; of what was there before nobody knows', () => {
  const counting = new CountingSince();
  const chains = (): readonly string[] => Object.keys(counting.json().chains);
  expect([chains(), counting.json().tables]).toEqual([[], {}]);
  counting.wrote([
    update({ kind: 'rewrite-chain', chain: chain('a'), before: [] }, { kind: 'add-chain', chain: chain('b') }),
  ]);
  expect([chains(), counting.json().tables]).toEqual([['inet a', 'inet b'], {}]);
  counting.wrote([update({ kind: 'delete-chain', chain: 'b', isBase: false, before: [] })]);
  expect(chains()).toEqual(['inet a']);
  counting.wrote([{ kind: 'create', table }]);
  expect([chains(), Object.keys(counting.json().tables)]).toEqual([[], ['inet']]);
  counting.wrote([{ kind: 'delete', before: stateOf(table) }]);
  expect(counting.json().tables).toEqual({});
});
