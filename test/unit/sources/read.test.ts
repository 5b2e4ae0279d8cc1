import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { formatProblem } from '../../../compiler/model/index.js';
import { loadTopology } from '../../../src/sources/file/index.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'portcullis-read-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

/** Problems of a file of that name and text, without the folder. */
async function problemsOf(name: string, text: string): Promise<readonly string[]> {
  writeFileSync(join(folder, name), text);
  const { problems } = await loadTopology(join(folder, name));
  return problems.map((problem) => formatProblem(problem).replace(`${folder}/`, ''));
}

describe('a problem has line, column and the name of its object', () => {
  it('in JSON', async () => {
    const text =
      '{\n  "ports": [],\n  "security_groups": [\n    {"id": "g", "name": "web",\n     "stateful": "yes"}\n  ]\n}\n';
    expect(await problemsOf('t.json', text)).toEqual([
      't.json:5:6: security_groups[0].stateful: "yes" is not true or false (in "web")',
    ]);
  });

  it('in JSON, of a field that is missing: that of the object', async () => {
    expect(await problemsOf('t.json', '{"ports": [],\n "subnets": [\n  {"id": "s", "network_id": "n"}]}')).toEqual([
      't.json:3:3: subnets[0].cidr: missing: a prefix (192.0.2.0/24, 2001:db8::/64) (in "s")',
    ]);
  });

  it('in YAML', async () => {
    const text = 'ports: []\nsecurity_groups:\n  - id: g\n    name: web\n    stateful: 17\n';
    expect(await problemsOf('t.yaml', text)).toEqual([
      't.yaml:5:15: security_groups[0].stateful: 17 is not true or false (in "web")',
    ]);
  });
});

describe('a text', () => {
  it.each([
    ['a.json', '{"ports": [], "ports": []}', 'a.json:1:15: has the key "ports" twice in one object'],
    ['b.json', '{"ports": [{"id": "a",\n "id": "b"}]}', 'b.json:2:2: has the key "id" twice in one object'],
    ['c.json', '{"ports": [{"\\u0069d": "a", "id": "b"}]}', 'c.json:1:29: has the key "id" twice in one object'],
    ['d.yaml', 'ports: []\nports: []\n', 'd.yaml:2:1: is not YAML: Map keys must be unique'],
    ['e.json', '', 'e.json: is empty'],
    ['f.yaml', '# nothing\n', 'f.yaml: holds no document'],
    ['g.json', `{"ports": ${'['.repeat(20_000)}${']'.repeat(20_000)}}`, 'g.json:1:74: is nested deeper than 64 levels'],
    ['h.yaml', `ports: ${'['.repeat(20_000)}${']'.repeat(20_000)}`, 'h.yaml: is nested'],
    ['i.yaml', `${'- '.repeat(5000)}x`, 'i.yaml: is nested'],
    ['j.json', '{"ports": [}', 'j.json: is not JSON'],
  ])('%s is refused where it is wrong', async (name, text, line) => {
    const problems = await problemsOf(name, text);
    expect(problems[0]?.slice(0, line.length)).toBe(line);
    expect(problems[0]).not.toContain('\n');
  });

  it('with a key twice in two objects, and braces in its strings, is good', async () => {
    const group = (id: string): string => `{"id": "${id}", "name": "{[\\"${id}\\\\", "security_group_rules": []}`;
    expect(await problemsOf('t.json', `{"security_groups": [${group('a')}, ${group('b')}]}`)).toEqual([]);
  });
});

describe('in place of a file', () => {
  it.each([
    ['a named pipe', (path: string) => execFileSync('mkfifo', [path]), 'is a named pipe'],
    [
      'a device',
      (path: string) => {
        symlinkSync('/dev/null', path);
      },
      'is a device',
    ],
    [
      'a link to itself',
      (path: string) => {
        symlinkSync(path, path);
      },
      'ELOOP',
    ],
    [
      'more than fits',
      (path: string) => {
        // Holes take no room.
        writeFileSync(path, '');
        truncateSync(path, 2 ** 30);
      },
      'has 1073741824 bytes: valid are at most 268435456',
    ],
  ])('%s is named, and nobody waits', async (_what, make, said) => {
    const path = join(folder, 't.json');
    make(path);
    const { problems } = await loadTopology(path);
    expect(problems.map(formatProblem).join()).toContain(said);
  });
});
