/** What a shell takes at once. */
import { execaSync } from 'execa';

/**
 * @param block lines that somebody pastes into a shell
 * @returns them in order, each a line, or all lines of a loop, a function or a command that goes on; with their comments
 * @throws Error for a block whose last command does not end
 */
export function pastesOf(block: string): readonly string[] {
  const whole: string[] = [];
  let open = '';
  for (const line of block.trimEnd().split('\n')) {
    open += `${line}\n`;
    if (line.endsWith('\\') || execaSync('bash', ['--norc', '-n', '-c', open], { reject: false }).exitCode !== 0)
      continue;
    whole.push(open);
    open = '';
  }
  if (open !== '') throw new Error(`a block that does not end: ${open}`);
  return whole.filter((one) => one.trim() !== '');
}

/** The blocks of a page that are for a shell, as they stand between lines of three backquotes. */
export function shellBlocks(page: string): readonly string[] {
  return codeBlocks(page, 'sh');
}

/** The blocks of a page in one language, as they stand between lines of three backquotes and its name. */
export function codeBlocks(page: string, language: 'sh' | 'js'): readonly string[] {
  return [...page.matchAll(/^```(\w+)\n(.*?)^```$/gms)].flatMap(([, of, text = '']) => (of === language ? [text] : []));
}
