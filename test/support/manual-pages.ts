/** What stands on the manual's pages for somebody to copy, and what is shown there. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pastesOf, shellBlocks } from './pasted.js';

const FOLDER = 'docs/man';
/** Forms of what is typed, in which names in capitals stand for something. */
const FORMS = 'SYNOPSIS';
const EXAMPLES = 'EXAMPLES';

/** What stands indented by four: commands, a document in YAML, or what a program prints. */
export interface Shown {
  /** For people: the page and the section. */
  readonly place: string;
  readonly kind: 'commands' | 'document' | 'output';
  readonly text: string;
}

export interface Command {
  readonly place: string;
  /** Without what the page says of it behind `#`. */
  readonly text: string;
}

export function manualPages(): readonly { readonly path: string; readonly text: string }[] {
  return readdirSync(FOLDER)
    .sort()
    .map((name) => join(FOLDER, name))
    .map((path) => ({ path, text: readFileSync(path, 'utf8') }));
}

/** Everything indented, but the forms of a synopsis. */
export function shownIn(path: string, page: string): readonly Shown[] {
  const [, ...sections] = page.split(/^## /m);
  return sections.flatMap((section) => {
    const [heading = ''] = section.split('\n');
    if (heading === FORMS) return [];
    return [...section.matchAll(/(?:^ {4}.*\n|^\n(?= {4}))+/gm)]
      .map(([block]) => block.replaceAll(/^ {4}/gm, '').replace(/^\n+/, ''))
      .filter((text) => text !== '')
      .map((text) => ({ place: `${path}, ${heading}`, kind: kindOf(heading, text), text }));
  });
}

function kindOf(heading: string, text: string): Shown['kind'] {
  if (heading !== EXAMPLES) return 'output';
  // No command begins so, and each of our documents does.
  return /^[a-z_]+:\n/.test(text) ? 'document' : 'commands';
}

/** What README.md shows of `npm start`: who reaches whom, without the line above it. */
export function readmePicture(): string {
  const [, picture = ''] = /\n\n```\n[^\n]*\n\n(.*?)^```$/ms.exec(readFileSync('README.md', 'utf8')) ?? [];
  if (picture === '') throw new Error('README.md has no picture');
  return picture;
}

/** What README.md and the pages of the manual have their readers type, in order. */
export function documentedCommands(): readonly Command[] {
  const readme = shellBlocks(readFileSync('README.md', 'utf8')).map((text) => ({ place: 'README.md', text }));
  const blocks = manualPages()
    .flatMap(({ path, text }) => shownIn(path, text))
    .filter(({ kind }) => kind === 'commands');
  return [...readme, ...blocks].flatMap(({ place, text }) =>
    pastesOf(text).map((paste) => ({ place, text: bareCommand(paste) })),
  );
}

/** Without what a reader is told behind it. */
export function bareCommand(text: string): string {
  return text.replaceAll(/\s+# .*$/gm, '').trim();
}

/** Words in backquotes that somebody could type: a program's name in small letters, and more behind it. */
export function typedInProse(page: string): readonly string[] {
  const prose = page.replaceAll(/^ {4}.*$/gm, '').split(/\n{2,}|^\|/m);
  return prose.flatMap((paragraph) =>
    [...paragraph.replaceAll(/\s+/g, ' ').matchAll(/`([^`]+)`/g)]
      .map(([, words = '']) => words)
      .filter((words) => /^[a-z][a-z0-9-]* \S/.test(words)),
  );
}
