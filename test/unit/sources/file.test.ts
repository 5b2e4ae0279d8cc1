/** The file source: every way in which people and programs change files. */
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { eventually } from '../../support/waiting.js';
import { EMPTY_TOPOLOGY, type Topology } from '../../../compiler/model/index.js';
import { FileSource } from '../../../src/sources/file/index.js';
import type { SourceEvent } from '../../../compiler/model/index.js';

let folder: string;
let path: string;
let source: FileSource | undefined;
let events: SourceEvent[];
/** What the agent would have in force. */
let inForce: Topology;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'portcullis-source-'));
  path = join(folder, 'topology.json');
  events = [];
  inForce = EMPTY_TOPOLOGY;
});
afterEach(() => {
  source?.stop();
  rmSync(folder, { recursive: true, force: true });
});

function content(...groups: readonly string[]): string {
  return JSON.stringify({ security_groups: groups.map((id) => ({ id, name: id, security_group_rules: [] })) });
}

function over(file: string, text: string): void {
  const next = join(folder, '.next');
  writeFileSync(next, text);
  renameSync(next, file);
}

function start(from = path): void {
  source = new FileSource(from);
  source.start(
    (event) => events.push(event),
    () => inForce,
  );
}

/** Ids of the groups of the last event; the problems of a stale one. */
function last(): readonly string[] {
  const event = events.at(-1);
  if (event === undefined) return [];
  switch (event.kind) {
    case 'topology':
      return [...event.topology.securityGroups.keys()];
    case 'changes':
      throw new Error('a file has no changes');
    case 'stale':
      return event.problems.map(({ message }) => `stale: ${message}`);
  }
}

const says = async (...groups: readonly string[]): Promise<void> => eventually(() => last().join() === groups.join());

describe('a file', () => {
  it('is read once, and not again while it stays', async () => {
    writeFileSync(path, content('a'));
    start();
    await says('a');
    await setTimeout(1200);
    expect(events).toHaveLength(1);
  });

  it('renamed over, written in place, removed and made again', async () => {
    writeFileSync(path, content('a'));
    start();
    await says('a');
    over(path, content('b'));
    await says('b');
    writeFileSync(path, content('c'));
    await says('c');
    unlinkSync(path);
    writeFileSync(path, content('d'));
    await says('d');
    expect(events.map(({ kind }) => kind)).toEqual(['topology', 'topology', 'topology', 'topology']);
  });

  it('of the same length and in the same instant is still another file', async () => {
    writeFileSync(path, content('a'));
    start();
    await says('a');
    for (const id of ['b', 'c', 'd', 'e']) {
      over(path, content(id));
      await says(id);
    }
  });

  it.each([
    [
      'written in place',
      (text: string) => {
        writeFileSync(path, text);
      },
    ],
    [
      'removed and made again, as an archive is unpacked',
      (text: string) => {
        unlinkSync(path);
        writeFileSync(path, text);
      },
    ],
  ])('%s, of the same length and with the time that it had, is another file', async (_how, write) => {
    const then = new Date('2026-01-01T00:00:00Z');
    const put = (id: string): void => {
      write(content(id));
      utimesSync(path, then, then);
    };
    writeFileSync(path, '');
    put('a');
    start();
    await says('a');
    for (const id of ['b', 'c', 'd']) {
      put(id);
      await says(id);
    }
  });

  it('written in pieces is read when it is whole', async () => {
    writeFileSync(path, content('a'));
    start();
    await says('a');
    const text = content('b', 'c', 'd');
    writeFileSync(path, '');
    for (let at = 0; at < text.length; at += 20) {
      appendFileSync(path, text.slice(at, at + 20));
      await setTimeout(3);
    }
    await says('b', 'c', 'd');
    // A pause that is long enough may be told as a file that cannot be used; what is half is never taken.
    expect(events.filter(({ kind }) => kind === 'topology')).toHaveLength(2);
  });

  it('replaced without a pause is followed, never half', async () => {
    writeFileSync(path, content('a'));
    start();
    await says('a');
    let written = 0;
    while (events.length <= 10) {
      over(path, content('first', `v${(written++).toString()}`, 'last'));
      await setTimeout(3);
    }
    expect(events.every((event) => event.kind === 'topology')).toBe(true);
    await says('first', `v${(written - 1).toString()}`, 'last');
  });

  it('that is broken, gone or no document says so once, and heals by itself', async () => {
    start();
    await eventually(() => last().join().includes('cannot be read'));
    writeFileSync(path, '{ "ports": [');
    await eventually(() => last().join().includes('is not JSON'));
    writeFileSync(path, '{  "ports": [');
    await setTimeout(200);
    writeFileSync(path, '{"port": [{}]}');
    await eventually(() => last().join().includes('did you mean ports'));
    mkdirSync(join(folder, 'moved'));
    renameSync(path, join(folder, 'moved', 'x'));
    await eventually(() => last().join().includes('cannot be read'));
    writeFileSync(path, content('a'));
    await says('a');
    expect(events.filter(({ kind }) => kind === 'stale')).toHaveLength(4);
  });

  it('behind a link, and the link swapped', async () => {
    writeFileSync(join(folder, 'one.json'), content('a'));
    writeFileSync(join(folder, 'two.json'), content('b'));
    symlinkSync('one.json', path);
    start();
    await says('a');
    symlinkSync('two.json', join(folder, 'next'));
    renameSync(join(folder, 'next'), path);
    await says('b');
    writeFileSync(join(folder, 'two.json'), content('c'));
    await says('c');
  });

  it('is read again when asked to', async () => {
    writeFileSync(path, content('a'));
    start();
    await says('a');
    source?.reload();
    await eventually(() => events.length === 2);
  });
});

describe('a folder', () => {
  it('is its documents: added, changed, removed, hidden, others', async () => {
    const inside = join(folder, 'topology');
    mkdirSync(inside);
    start(inside);
    await eventually(() => last().join().includes('holds no document'));
    writeFileSync(join(inside, 'a.json'), content('a'));
    await says('a');
    writeFileSync(join(inside, 'b.yaml'), 'security_groups: [{id: b, security_group_rules: []}]\n');
    await says('a', 'b');
    writeFileSync(join(inside, '.c.json'), content('c'));
    writeFileSync(join(inside, 'README'), 'not a document');
    await setTimeout(200);
    expect(events).toHaveLength(3);
    rmSync(join(inside, 'a.json'));
    await says('b');
    rmSync(inside, { recursive: true });
    await eventually(() => last().join().includes('cannot be read'));
    mkdirSync(inside);
    writeFileSync(join(inside, 'd.json'), content('d'));
    await says('d');
  });

  it('one broken document of several: nothing of them is taken', async () => {
    writeFileSync(join(folder, 'a.json'), content('a'));
    start(folder);
    await says('a');
    writeFileSync(join(folder, 'b.json'), '{');
    await eventually(() => last().join().includes('is not JSON'));
    expect(events.at(-1)).toMatchObject({ kind: 'stale', problems: [{ file: join(folder, 'b.json') }] });
  });

  it('swapped behind a link', async () => {
    const version = (name: string, ...groups: readonly string[]): void => {
      mkdirSync(join(folder, name));
      writeFileSync(join(folder, name, 'topology.json'), content(...groups));
      symlinkSync(name, join(folder, `next-${name}`));
      renameSync(join(folder, `next-${name}`), join(folder, 'current'));
    };
    version('one', 'a');
    start(join(folder, 'current'));
    await says('a');
    version('two', 'b', 'c');
    await says('b', 'c');
    rmSync(join(folder, 'one'), { recursive: true });
    writeFileSync(join(folder, 'two', 'topology.json'), content('d'));
    await says('d');
  });
});
