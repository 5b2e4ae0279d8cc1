/** Reads documents: a file, a folder of files, or standard input; JSON or YAML. */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import {
  quoteValue,
  type Problem,
  type ProblemCode,
  type SourceDocument,
  type TextPosition,
} from '../../../compiler/model/index.js';
import { flawOfJson, locateInJson, MOST_NESTED, positionAt, stepsOf } from '../../../compiler/model/json-text.js';
import { NotADocument, readDocument } from './open.js';

export interface ReadResult {
  readonly documents: readonly SourceDocument[];
  /** Files that cannot be read or are neither JSON nor YAML; the others are read all the same. */
  readonly problems: readonly Problem[];
}

const EXTENSIONS = /\.(json|ya?ml)$/i;

/** Aliases of a YAML document may not blow it up: more than this and it is refused. */
const MOST_ALIASES = 100;

/** @param path a file, a folder (its *.json, *.yaml and *.yml, not hidden, not deeper), or `-` for standard input. */
export async function readTopologyPath(path: string): Promise<ReadResult> {
  try {
    if (path === '-') return await parseText('standard input', await text(process.stdin));
    return await readAll(await documentFiles(path), async (file) => readDocument(file));
  } catch (error) {
    return unreadable(path, error);
  }
}

/** The files that a path stands for: itself, or a folder's documents in order. Throws when there are none. */
export async function documentFiles(path: string): Promise<readonly string[]> {
  if (!(await stat(path)).isDirectory()) return [path];
  const names = (await readdir(path)).filter((name) => !name.startsWith('.') && EXTENSIONS.test(name)).sort();
  if (names.length === 0) throw new NoDocuments();
  return names.map((name) => join(path, name));
}

/** How much there is to read, as far as that is known beforehand. */
export async function bytesOf(paths: readonly string[]): Promise<number> {
  let bytes = 0;
  for (const path of paths) {
    try {
      for (const file of path === '-' ? [] : await documentFiles(path)) bytes += (await stat(file)).size;
    } catch {
      // Whoever reads it says what is wrong.
    }
  }
  return bytes;
}

class NoDocuments extends Error {
  override readonly message = 'holds no document: valid are files named *.json, *.yaml or *.yml';
}

/** Reads and parses files; one that cannot be read is a problem of its own. */
export async function readAll(
  files: readonly string[],
  read: (file: string, index: number) => Promise<string>,
): Promise<ReadResult> {
  const documents: SourceDocument[] = [];
  const problems: Problem[] = [];
  for (const [index, file] of files.entries()) {
    try {
      const result = await parseText(file, await read(file, index));
      documents.push(...result.documents);
      problems.push(...result.problems);
    } catch (error) {
      problems.push(...unreadable(file, error).problems);
    }
  }
  return { documents, problems };
}

export function unreadable(path: string, error: unknown): ReadResult {
  if (error instanceof NoDocuments || error instanceof NotADocument) return failure(path, 'unreadable', error.message);
  return failure(path, 'unreadable', `cannot be read: ${reason(error)}`);
}

async function parseText(file: string, raw: string): Promise<ReadResult> {
  const content = raw.replace(/^\uFEFF/, '');
  // A writer may be at work; whoever says nothing does not say that there are no ports.
  if (content.trim() === '')
    return failure(file, 'syntax', 'is empty: an empty topology has empty lists, as {"ports": []}');
  if (/^\s*[[{]/.test(content)) {
    try {
      const document = JSON.parse(content) as unknown;
      const flaw = flawOfJson(content);
      if (flaw !== undefined) return failure(file, 'syntax', flaw.message, positionAt(content, flaw.offset));
      return { documents: [{ file, content: document, locate: (path) => locateInJson(content, path) }], problems: [] };
    } catch (error) {
      if (/\.json$/i.test(file))
        return failure(file, 'syntax', `is not JSON: ${reason(error)}`, jsonErrorAt(content, error));
    }
  }
  return parseYaml(file, content);
}

/** V8 names the offset in its message. */
function jsonErrorAt(content: string, error: unknown): TextPosition | undefined {
  const offset = error instanceof Error ? /at position (\d+)/.exec(error.message)?.[1] : undefined;
  return offset === undefined ? undefined : positionAt(content, Number(offset));
}

async function parseYaml(file: string, content: string): Promise<ReadResult> {
  if (mayBeTooDeep(content)) return failure(file, 'syntax', TOO_DEEP);
  const { isNode, LineCounter, parseAllDocuments } = await import('yaml');
  const documents: SourceDocument[] = [];
  const problems: Problem[] = [];
  const lines = new LineCounter();
  try {
    for (const document of parseAllDocuments(content, { prettyErrors: true, uniqueKeys: true, lineCounter: lines })) {
      const [error] = document.errors;
      if (error === undefined) {
        const value = document.toJS({ maxAliasCount: MOST_ALIASES }) as unknown;
        if (isTooDeep(value)) {
          problems.push(...failure(file, 'syntax', TOO_DEEP).problems);
          continue;
        }
        const locate = (path: string): TextPosition | undefined => {
          const steps = stepsOf(path);
          // Of a field that is missing, the object that lacks it.
          for (let length = steps.length; length > 0; length--) {
            const node = document.getIn(steps.slice(0, length), true);
            const offset = isNode(node) ? node.range?.[0] : undefined;
            if (offset === undefined) continue;
            const { line, col } = lines.linePos(offset);
            return { line, column: col };
          }
          return undefined;
        };
        documents.push({ file, content: value, locate });
      } else {
        const [at] = error.linePos ?? [];
        const position = at === undefined ? undefined : { line: at.line, column: at.col };
        problems.push(...failure(file, 'syntax', `is not YAML: ${reason(error)}`, position).problems);
      }
    }
  } catch (cause) {
    // Aliases without end, or nesting that the parser cannot follow.
    problems.push(...failure(file, 'syntax', `is not usable YAML: ${reason(cause)}`).problems);
  }
  if (documents.length + problems.length === 0) {
    return failure(file, 'syntax', 'holds no document: an empty topology has empty lists, as {"ports": []}');
  }
  return { documents, problems };
}

const TOO_DEEP = `is nested deeper than ${MOST_NESTED.toString()} levels`;

/**
 * Before it is parsed: the parser calls itself at each level, and where the stack ends within a regular expression V8 ends the
 * process. What is counted is never less than the depth; brackets and indentation within texts count, too.
 */
function mayBeTooDeep(yaml: string): boolean {
  const indents: number[] = [];
  let brackets = 0;
  for (const line of yaml.split('\n')) {
    const [start = '', spaces = ''] = /^( *)(?:[-?:][ \t]+)*/.exec(line) ?? [];
    if (line.length === start.length) continue;
    while ((indents.at(-1) ?? -1) >= spaces.length) indents.pop();
    indents.push(spaces.length);
    const compact = start.length === spaces.length ? 0 : start.slice(spaces.length).split(/[ \t]+/).length - 1;
    for (const character of line) {
      if (character === '[' || character === '{') brackets++;
      else if ((character === ']' || character === '}') && brackets > 0) brackets--;
      if (indents.length + compact + brackets > MOST_NESTED) return true;
    }
  }
  return false;
}

/** Through aliases, without a stack of calls: that is what depth would end. */
function isTooDeep(value: unknown): boolean {
  let level: readonly unknown[] = [value];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > MOST_NESTED) return true;
    level = level.flatMap((one) =>
      typeof one === 'object' && one !== null ? (Object.values(one) as readonly unknown[]) : [],
    );
  }
  return false;
}

function failure(file: string, code: ProblemCode, message: string, position?: TextPosition): ReadResult {
  return { documents: [], problems: [{ severity: 'error', code, file, path: '', message, ...position }] };
}

/** The first line of an error's message, made harmless. */
function reason(error: unknown): string {
  const [line = ''] = (error instanceof Error ? error.message : String(error)).split('\n');
  return quoteValue(line.trim().replace(/:$/, '')).slice(1, -1);
}
