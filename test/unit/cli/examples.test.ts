/** What README.md and the manual have their readers type: nothing of it is unknown here, and what needs no rights is run. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { parse } from 'yaml';
import { readDirectory } from '../../../src/api/auth/directory.js';
import { specsOf, type CommandSpec } from '../../../src/cli/command-spec.js';
import { registerCommands } from '../../../src/cli/commands/index.js';
import { parseConfiguration } from '../../../src/cli/configuration/parse.js';
import { parseTopology } from '../../../compiler/model/index.js';
import { ANYWHERE, ELSEWHERE, IN_PROSE, ON_A_HOST, OUTPUTS } from '../../support/examples.js';
import { documentedCommands, manualPages, shownIn, typedInProse, type Shown } from '../../support/manual-pages.js';
import { PORTCULLIS, runExamples } from '../../support/run-examples.js';
import { Shell } from '../../support/shell.js';

function scratch(): string {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-examples-'));
  onTestFinished(() => {
    rmSync(folder, { recursive: true });
  });
  return folder;
}

function filesBelow(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) => join(folder, name));
}

const commands = documentedCommands();
const shown = (kind: Shown['kind']): readonly Shown[] =>
  manualPages()
    .flatMap(({ path, text }) => shownIn(path, text))
    .filter((one) => one.kind === kind);

it('every command that a reader is to type is run by one test, or is named with the reason why not', () => {
  const known = [ANYWHERE, ON_A_HOST, ELSEWHERE].flatMap((examples) => Object.keys(examples));
  expect(new Set(known).size, 'none is there twice').toBe(known.length);
  expect([...new Set(commands.map(({ text }) => text))].sort()).toEqual(known.sort());
});

it('what is said to stand in another test stands there', () => {
  for (const [text, where] of Object.entries({ ...ELSEWHERE, ...IN_PROSE })) {
    if ('stands' in where) expect(readFileSync(where.stands, 'utf8')).toContain(text);
    else for (const [path] of where.why.matchAll(/test\/\S+\.ts/g)) readFileSync(path);
  }
  for (const { words, test } of Object.values(OUTPUTS)) expect(readFileSync(test, 'utf8')).toContain(words);
});

it('what the pages show of output is of a form that a test holds', () => {
  const outputs = shown('output').map(({ text }) => text);
  const beginnings = Object.entries(OUTPUTS);
  expect(outputs.map((text) => beginnings.find(([begin]) => text.startsWith(begin))?.[0] ?? text).sort()).toEqual(
    beginnings.map(([begin]) => begin).sort(),
  );
  for (const [begin, { words }] of beginnings) {
    expect(outputs.find((text) => text.startsWith(begin))).toContain(words);
  }
});

it('every document that a page shows is taken by what reads it', () => {
  const readers: Readonly<Record<string, (text: string) => void>> = {
    agent: (text) => {
      parseConfiguration('example', text);
    },
    api: (text) => {
      parseConfiguration('example', text);
    },
    security_groups: (text) => {
      expect(parseTopology([{ file: 'example', content: parse(text) as unknown }]).problems).toEqual([]);
    },
    projects: (text) => {
      const file = join(scratch(), 'users.yaml');
      writeFileSync(file, text, { mode: 0o600 });
      readDirectory(file);
    },
  };
  const documents = shown('document');
  for (const { place, text } of documents) {
    const [key = ''] = text.split(':');
    const read = readers[key];
    if (read === undefined) throw new Error(`${place}: nothing here reads a document that begins with ${key}`);
    read(text);
  }
  expect(documents.length).toBeGreaterThan(2);
});

it('every script of npm that a page names is there', () => {
  const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { readonly scripts: object };
  const pages = readdirSync('.')
    .concat(['docs', 'bench'].flatMap((folder) => filesBelow(folder)))
    .filter((path) => path.endsWith('.md'));
  for (const path of pages) {
    for (const [, name = ''] of readFileSync(path, 'utf8').matchAll(/\bnpm run ([a-z:]+)/g)) {
      expect(Object.keys(scripts), path).toContain(name);
    }
  }
});

it('README.md has blocks for a shell, and the one picture', () => {
  const heads = [...readFileSync('README.md', 'utf8').matchAll(/^ *(?:```|~~~).*$/gm)].map(([line]) => line);
  expect(heads.filter((line, index) => index % 2 === 0 && line !== '```sh')).toEqual(['```']);
});

it('every command and every option of ours that the pages name is there', async () => {
  const specs = await specsOf((parser) => registerCommands(parser, undefined));
  const wrong: string[] = [];
  const judge = (place: string, text: string): void => {
    const why = whyNone(specs, text);
    if (why !== undefined) wrong.push(`${place}: ${text}: ${why}`);
  };
  for (const { place, text } of commands) {
    for (const [, words = ''] of text.matchAll(/(?:^|[|&] )portcullis ((?:[^|&>\\]|\\\n)+)/g)) judge(place, words);
  }
  const others: string[] = [];
  for (const { path, text } of manualPages()) {
    for (const words of typedInProse(text)) {
      const [first = ''] = words.split(' ');
      if (first === 'portcullis' || specs.some(({ name }) => name === first)) {
        judge(path, words.replace(/^portcullis /, ''));
      } else others.push(words);
    }
  }
  expect(wrong).toEqual([]);
  expect([...new Set(others)].sort()).toEqual(Object.keys(IN_PROSE).sort());
});

it('every option of a command stands on its page, and no other', async () => {
  const specs = await specsOf((parser) => registerCommands(parser, undefined));
  for (const { path, text } of manualPages()) {
    // A page may be that of two commands.
    const [title = ''] = text.split('\n');
    const own = specs.filter(({ name }) => title.includes(`portcullis-${name}(`));
    const options = own
      .flatMap((spec) => [spec, ...spec.subcommands])
      .flatMap((spec) => [...spec.options].filter(([, { hidden }]) => hidden !== true).map(([name]) => name));
    const optionsIn = (words: string): readonly string[] =>
      [...words.matchAll(/--([a-z][a-z-]*)/g)].map(([, name = '']) => name);
    expect([path, options.filter((name) => !optionsIn(text).includes(name))]).toEqual([path, []]);
    const [, synopsis = ''] = /^## SYNOPSIS\n(.*?)^## /ms.exec(text) ?? [];
    // What a term in front of a definition names.
    const terms = [...text.matchAll(/^`--.*(?:\n`--.*)*\n(?=: )/gm)].map(([term]) => term);
    const named = own.length === 0 ? [] : optionsIn([synopsis, ...terms].join('\n'));
    expect([path, named.filter((name) => !options.includes(name))]).toEqual([path, []]);
  }
});

/** Why words behind `portcullis` mean nothing; undefined where they do. */
function whyNone(specs: readonly CommandSpec[], words: string): string | undefined {
  const [name = '', ...more] = words.split(/[\s\\]+/).filter((word) => word !== '');
  const command = specs.find((one) => one.name === name);
  if (command === undefined) return `no command ${name}`;
  const [next] = more;
  const options = (command.subcommands.find((one) => one.name === next) ?? command).options;
  const unknown = more.filter((word) => word.startsWith('--') && !options.has(word.slice(2).split('=')[0] ?? ''));
  return unknown.length === 0 ? undefined : `no option ${unknown.join(', ')}`;
}

it('what needs no rights does what the manual says of it', async () => {
  const folder = scratch();
  symlinkSync(resolve('examples'), join(folder, 'examples'));
  const shell = new Shell({ folder, cwd: folder, programs: { portcullis: PORTCULLIS } });
  onTestFinished(() => {
    shell.end();
  });
  await runExamples(shell, folder, ANYWHERE);
});
