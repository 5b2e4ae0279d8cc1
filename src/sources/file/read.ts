/** Reads documents: a file, a folder of files, or standard input; JSON or YAML. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { quoteValue, type Problem, type ProblemCode, type SourceDocument } from '../../model/index.js';

export interface ReadResult {
  readonly documents: readonly SourceDocument[];
  /** Files that cannot be read or are neither JSON nor YAML; the others are read all the same. */
  readonly problems: readonly Problem[];
}

const EXTENSIONS = /\.(json|ya?ml)$/i;

/** Aliases of a YAML document may not blow it up: more than this and it is refused. */
const MAX_ALIAS_COUNT = 100;

/** @param path a file, a folder (its *.json, *.yaml and *.yml, not hidden, not deeper), or `-` for standard input. */
export async function readTopologyPath(path: string): Promise<ReadResult> {
  try {
    if (path === '-') return await parseText('standard input', await text(process.stdin));
    return await readAll(await documentFiles(path), async (file) => readFile(file, 'utf8'));
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
  if (error instanceof NoDocuments) return failure(path, 'unreadable', error.message);
  return failure(path, 'unreadable', `cannot be read: ${reason(error)}`);
}

async function parseText(file: string, raw: string): Promise<ReadResult> {
  const content = raw.replace(/^\uFEFF/, '');
  if (/^\s*[[{]/.test(content)) {
    try {
      return { documents: [{ file, content: JSON.parse(content) as unknown }], problems: [] };
    } catch (error) {
      if (/\.json$/i.test(file)) return failure(file, 'syntax', `is not JSON: ${reason(error)}`);
    }
  }
  return parseYaml(file, content);
}

async function parseYaml(file: string, content: string): Promise<ReadResult> {
  const { parseAllDocuments } = await import('yaml');
  const documents: SourceDocument[] = [];
  const problems: Problem[] = [];
  for (const document of parseAllDocuments(content, { prettyErrors: true, uniqueKeys: true })) {
    const [error] = document.errors;
    if (error === undefined) {
      try {
        documents.push({ file, content: document.toJS({ maxAliasCount: MAX_ALIAS_COUNT }) as unknown });
      } catch (cause) {
        problems.push(...failure(file, 'syntax', `is not usable YAML: ${reason(cause)}`).problems);
      }
    } else {
      problems.push(...failure(file, 'syntax', `is not YAML: ${reason(error)}`).problems);
    }
  }
  return { documents, problems };
}

function failure(file: string, code: ProblemCode, message: string): ReadResult {
  return { documents: [], problems: [{ severity: 'error', code, file, path: '', message }] };
}

/** The first line of an error's message, made harmless. */
function reason(error: unknown): string {
  const [line = ''] = (error instanceof Error ? error.message : String(error)).split('\n');
  return quoteValue(line.trim().replace(/:$/, '')).slice(1, -1);
}
