/** Where etcd is, and how what is stored there is cut: what is not clear is refused. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  transactionsOf,
  MOST_BYTES,
  MOST_OPERATIONS,
  MOST_VALUE_BYTES,
  Pieces,
  PIECES,
  printPart,
  readHead,
  readPart,
  RECORDS,
  writesOf,
} from '../../../src/api/store/etcd-format.js';
import type { Json } from '../../../src/api/store/store.js';
import { isEtcdAddress, parseEtcdAddress } from '../../../src/etcd/address.js';
import type { Scope } from '../../../src/sources/feed/scopes.js';
import { NO_VIEW_CHANGES } from '../../../src/api/topology/host-view.js';

describe('an address', () => {
  it.each([
    ['etcd:https://a:2379', ['a:2379'], true, '/portcullis/'],
    ['etcd:https://a,https://b:4001,https://a', ['a:2379', 'b:4001'], true, '/portcullis/'],
    ['etcd:https://a:1,https://b:2/clouds/one', ['a:1', 'b:2'], true, '/clouds/one/'],
    ['etcd:https://a:1/x/', ['a:1'], true, '/x/'],
    ['etcd:https://[2001:db8::1]:2379', ['[2001:db8::1]:2379'], true, '/portcullis/'],
    // The ports that a URL need not name.
    ['etcd:https://a:443,https://b', ['a:443', 'b:2379'], true, '/portcullis/'],
    ['etcd:https://[2001:db8::1]:443/x', ['[2001:db8::1]:443'], true, '/x/'],
    ['etcd:http://localhost:80', ['localhost:80'], false, '/portcullis/'],
    ['etcd:http://127.0.0.1:2379', ['127.0.0.1:2379'], false, '/portcullis/'],
    ['etcd:http://[::1]:2379,http://localhost:1', ['[::1]:2379', 'localhost:1'], false, '/portcullis/'],
  ])('%s', (text, endpoints, isTls, prefix) => {
    expect(isEtcdAddress(text)).toBe(true);
    expect(parseEtcdAddress(text)).toEqual({ endpoints, isTls, prefix });
  });

  it.each([
    ['etcd:', 'is no URL'],
    ['etcd:a:2379', 'no protocol that etcd speaks'],
    ['etcd:http://10.0.0.1:2379', 'without TLS'],
    ['etcd:http://127.evil.example:2379', 'without TLS'],
    ['etcd:https://a:1,http://localhost:1', 'with and without TLS'],
    ['etcd:https://user:secret@a:1', '--etcd-user'],
    ['etcd:https://a:1/x,https://b:1/x', 'behind the last member'],
    ['etcd:https://a:1/x?y=1', 'nothing may follow'],
    ['etcd:https://a:1/ä', 'a prefix consists of'],
  ])('%s is refused', (text, why) => {
    expect(() => parseEtcdAddress(text)).toThrow(why);
  });
});

describe('what is written', () => {
  /** What a reader makes of writes that come one after the other. */
  function reads(writes: ReturnType<typeof writesOf>, pieces: Pieces): ReadonlyMap<string, Json | undefined> {
    const texts = new Map(writes);
    return pieces.changes(texts, (key) => texts.get(key));
  }

  it('is read as it was, whatever is in it and however long it is, and leaves no piece behind', () => {
    const long = fc.tuple(fc.string({ unit: 'binary', minLength: 1, maxLength: 3 }), fc.nat(900_000));
    const value = fc.oneof(
      fc.json().map((text) => JSON.parse(text) as Json),
      long.map(([text, length]) => text.repeat(Math.ceil(length / text.length))),
    );
    fc.assert(
      fc.property(fc.array(value, { minLength: 1, maxLength: 4 }), (values) => {
        const [writer, reader] = [new Pieces(), new Pieces()];
        const stored = new Map<string, string>();
        for (const one of [...values, undefined]) {
          // What JSON cannot say is not stored: a half of a surrogate pair becomes another character on its way.
          const sent = one === undefined ? undefined : (JSON.parse(JSON.stringify(one)) as Json);
          const writes = writesOf(new Map([['x/1', sent]]), (key) => writer.count(key));
          reads(writes, writer);
          expect(reads(writes, reader).get('x/1')).toEqual(sent);
          for (const [key, text] of writes) {
            if (text === undefined) stored.delete(key);
            else stored.set(key, text);
            expect(Buffer.byteLength(text ?? '')).toBeLessThanOrEqual(MOST_VALUE_BYTES);
          }
          expect([...stored.keys()].filter((key) => key.startsWith(PIECES))).toHaveLength(reader.count('x/1'));
        }
        expect(stored.size).toBe(0);
      }),
      { numRuns: 30 },
    );
  });

  it('goes in batches that etcd takes, in order, none left out', () => {
    const writes = fc.array(fc.tuple(fc.string(), fc.option(fc.string({ maxLength: 400_000 }), { nil: undefined })), {
      maxLength: 300,
    });
    fc.assert(
      fc.property(writes, (all) => {
        const batches = transactionsOf('a-commit', all, NO_VIEW_CHANGES).flat();
        expect(batches.flat()).toEqual(all);
        for (const batch of batches) {
          expect(batch.length).toBeLessThanOrEqual(MOST_OPERATIONS);
          const bytes = Buffer.byteLength(printPart(batch));
          expect(batch.length === 1 || bytes <= MOST_BYTES).toBe(true);
          expect(readPart(printPart(batch))).toEqual(batch);
        }
      }),
      { numRuns: 30 },
    );
  });

  it('of one that takes several, each scope is marked before anything in it is written, and again behind all of it', () => {
    const names = fc.uniqueArray(fc.integer({ min: 0, max: 999 }), { maxLength: 150 });
    fc.assert(
      fc.property(names, names, fc.nat(150), (touched, gone, keys) => {
        const scope = (id: number): Scope => `groups/${id.toString()}/`;
        const live = touched.filter((id) => !gone.includes(id));
        const writes = new Map<string, string | undefined>();
        for (const id of [...live, ...gone]) {
          for (let key = 0; key <= keys % 7; key++) {
            writes.set(`${scope(id)}rule/${key.toString()}`, gone.includes(id) ? undefined : 'x');
          }
        }
        const views = { writes, touched: new Set(live.map(scope)), gone: new Set(gone.map(scope)) };
        const stages = transactionsOf('a-commit', [['records/x/1', '1']], views);
        // What is carried out at once: no two write the same key.
        for (const stage of stages) expect(new Set(stage.flat().map(([key]) => key)).size).toBe(stage.flat().length);
        const batches = stages.flat();
        for (const batch of batches) expect(new Set(batch.map(([key]) => key)).size).toBe(batch.length);
        const all = batches.flat();
        for (const id of [...live, ...gone]) {
          const mark = `view/${scope(id)}`;
          const inside = all.flatMap(([key], index) => (key.startsWith(mark) && key !== mark ? [index] : []));
          const marks = all.flatMap(([key, text], index) => (key === mark ? [{ index, text }] : []));
          expect(marks.at(-1)?.text).toBe(gone.includes(id) ? undefined : 'a-commit');
          if (batches.length > 1) {
            expect(stages.map((stage) => stage.flat().some(([key]) => key === mark))).toEqual([true, false, true]);
            expect(marks[0]?.text).toBe('a-commit');
            expect(marks[0]?.index).toBeLessThan(Math.min(...inside));
            expect(marks.at(-1)?.index).toBeGreaterThan(Math.max(...inside));
          }
        }
      }),
      { numRuns: 100 },
    );
  });

  it.each(['', '{}', '[]', 'null', '{"revision":-1,"schema":2,"by":""}', '{"revision":1.5,"schema":2,"by":""}'])(
    'a head that is none is not obeyed: %s',
    (text) => {
      expect(() => readHead(text)).toThrow('not as it was written');
    },
  );

  it('a record that is no JSON, or whose pieces are missing, is not obeyed', () => {
    const torn = (text: string): unknown => new Pieces().changes([[`${RECORDS}x/1`, text]], () => undefined);
    for (const text of ['', '{', '#2', '#x']) expect(() => torn(text)).toThrow('x/1 is not as it was written');
  });
});
