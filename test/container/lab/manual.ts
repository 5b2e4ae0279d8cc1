/** A page of docs/ that tells what to type, and where: its blocks, as its reader pastes them. */
import { readFileSync } from 'node:fs';

export interface Block {
  /** For people: where it stands. */
  readonly place: string;
  /** The machines that it is for, in the page's words. */
  readonly machines: readonly string[];
  readonly text: string;
}

export interface Section {
  readonly heading: string;
  readonly blocks: readonly Block[];
}

/**
 * @param path of a page in Markdown; each block begins with a line of three backquotes, `sh` and the names of machines
 * @throws Error for a block that does not say where, or that somebody would paste and nobody would see here
 */
export function readManual(path: string): readonly Section[] {
  return sectionsOf(path, readFileSync(path, 'utf8'));
}

export function sectionsOf(path: string, page: string): readonly Section[] {
  const sections: { heading: string; blocks: Block[] }[] = [{ heading: '', blocks: [] }];
  let open: { place: string; machines: readonly string[]; lines: string[] } | undefined;
  for (const [index, line] of page.split('\n').entries()) {
    const place = `${path}:${(index + 1).toString()}`;
    if (open !== undefined && line !== '```') open.lines.push(line);
    else if (open !== undefined) {
      sections.at(-1)?.blocks.push({ place: open.place, machines: open.machines, text: open.lines.join('\n') });
      open = undefined;
    } else if (/^#+ /.test(line)) sections.push({ heading: line.replace(/^#+ /, ''), blocks: [] });
    else if (/^\s*(?:```|~~~)/.test(line)) {
      const [, names] = /^```sh ([a-z0-9-]+(?: [a-z0-9-]+)*)$/.exec(line) ?? [];
      if (names === undefined) throw new Error(`${place}: a block that does not say where it is to be run: ${line}`);
      open = { place, machines: names.split(' '), lines: [] };
    } else if (/^(?: {4}|\t)/.test(line)) throw new Error(`${place}: an indented block, which nobody runs here`);
  }
  if (open !== undefined) throw new Error(`${open.place}: a block without an end`);
  return sections;
}
