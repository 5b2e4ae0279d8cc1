/** What the Debian package is made of, as far as it can be told without making one. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';

let folder: string;
let pages: ReadonlyMap<string, string>;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'portcullis-packaging-'));
  execFileSync(process.execPath, ['scripts/package/manuals.mjs', folder]);
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => name.includes('.'));
  pages = new Map(files.map((name) => [basename(name), readFileSync(join(folder, name), 'utf8')]));
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

const manuals = readdirSync('docs/man');

it('each manual page is roff of its section, with a name that apropos finds and nothing of Markdown left', () => {
  expect([...pages.keys()].sort()).toEqual(
    [...manuals, 'portcullis-restore.1.md'].map((name) => name.replace(/\.md$/, '')).sort(),
  );
  for (const [name, roff] of pages) {
    if (roff.startsWith('.so ')) continue;
    const [, title = '', section = ''] = /^(.*)\.(\d)$/.exec(name) ?? [];
    const lines = roff.split('\n');
    expect(lines[1]).toContain(`.TH "${title.toUpperCase()}" "${section}" `);
    const heading = lines.indexOf('.SH NAME');
    expect(lines[heading + 1]?.replaceAll('\\-', '-')).toMatch(new RegExp(`^${title}(, [a-z-]+)? - \\S`));
    const prose = roff.replaceAll(/^\.nf\n[^]*?^\.fi$/gm, '');
    expect([name, prose.match(/`|\*\*|\]\(|^\||^#|^: /gm) ?? []]).toEqual([name, []]);
    // Of a dash that is none a terminal makes something that no shell takes.
    expect([name, prose.match(/(?<!\\)--/g) ?? []]).toEqual([name, []]);
  }
});

it('what the pages use comes out as roff has it', () => {
  const page = pages.get('portcullis.yaml.5') ?? '';
  expect(page).toContain('.SH SYNOPSIS\n.PP\n.RS 4\n.nf\n/etc/portcullis/portcullis.yaml\n.fi\n.RE\n');
  expect(page).toContain('\\fB\\-\\-config FILE\\fR');
  expect(pages.get('portcullis-agent.8')).toContain('.TP\n\\fB\\-\\-audit\\fR\n\\fBnothing is enforced.\\fR ');
  expect(pages.get('portcullis-topology.5')).toContain(
    '.TS\nallbox;\nl lx.\nT{\nkey\nT}\tT{\nwhat\nT}\nT{\n\\fBports\\fR\nT}\t',
  );
});

it('a page with two names is there under both', () => {
  expect(pages.get('portcullis-restore.1')).toBe('.so man1/portcullis-backup.1\n');
});

it('a page that another one names is there, in that section', () => {
  const there = new Set([...pages.keys()].map((name) => name.replace(/\.(\d)$/, '($1)')));
  const named = manuals.flatMap((name) =>
    [...readFileSync(join('docs/man', name), 'utf8').matchAll(/portcullis[a-z.-]*\(\d\)/g)].map(
      ([one]) => `${name}: ${one}`,
    ),
  );
  expect(named.length).toBeGreaterThan(50);
  expect(named.filter((line) => !there.has(line.replace(/^.*: /, '')))).toEqual([]);
});

it('nothing that the package’s scripts say or do opens a host unless it is asked to, in so many words', () => {
  const asked = /if \[ "\$\{PORTCULLIS_PURGE_RULES-\}" = yes \]; then[^]*?\n {2,4}fi\n/g;
  for (const name of ['postinst', 'prerm', 'postrm']) {
    const script = readFileSync(join('packaging', name), 'utf8');
    execFileSync('sh', ['-n', join('packaging', name)]);
    const unasked = script
      .replaceAll(asked, '')
      .replaceAll(/^\s*(#|echo ).*$/gm, '')
      .replaceAll(/^.*\| sed 's.*$/gm, '');
    expect([name, unasked.match(/portcullis flush|nft (delete|flush|destroy)/g) ?? []]).toEqual([name, []]);
  }
});
