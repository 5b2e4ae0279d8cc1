/** README's first host: test/container/package.test.ts types it, in a clean Debian. */
import { readFileSync } from 'node:fs';

/**
 * What a section of a page has its reader type in a shell, a command a line.
 * @throws Error where there is no such section, for a block of another kind, and for a command of several lines, which nobody counts right
 */
export function commandsOf(path: string, heading: string): readonly string[] {
  const page = readFileSync(path, 'utf8');
  const start = page.indexOf(`\n## ${heading}\n`);
  if (start < 0) throw new Error(`${path} has no section "${heading}"`);
  const [, section = ''] = page.slice(start + 1).split(/^## .*$/m);
  const blocks = [...section.matchAll(/^```(.*)\n([\s\S]*?)^```$/gm)];
  return blocks.flatMap(([, kind, text = '']) => {
    if (kind !== 'sh') throw new Error(`${path}, ${heading}: a block of another kind: ${String(kind)}`);
    const lines = text.trimEnd().split('\n');
    const odd = lines.find((line) => /^(#|\s|$)|\\$|<<|^(for|if|while)\b/.test(line));
    if (odd !== undefined) throw new Error(`${path}, ${heading}: not a command of one line: ${odd}`);
    return lines;
  });
}

/** A command a line, with what a reader is told behind it. */
export const FIRST_HOST = commandsOf('README.md', 'The first host, in five minutes');
