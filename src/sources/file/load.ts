/** A topology from files, once. */
import { parseTopology, type ParsedTopology, type ParseOptions } from '../../../compiler/model/index.js';
import { readTopologyPath, type ReadResult } from './read.js';

/** Reads and parses a topology, of several paths as of one folder; problems of files stand before those of their contents. */
export async function loadTopology(paths: string | readonly string[], options?: ParseOptions): Promise<ParsedTopology> {
  const read: ReadResult[] = [];
  // One after the other: standard input can be named beside files.
  for (const path of [paths].flat()) read.push(await readTopologyPath(path));
  const problems = read.flatMap((part) => part.problems);
  const parsed = parseTopology(
    read.flatMap(({ documents }) => documents),
    options,
  );
  // Nobody knows what a file that cannot be read would have said.
  const isUsable = parsed.isUsable && problems.every(({ severity }) => severity !== 'error');
  return { ...parsed, problems: [...problems, ...parsed.problems], isUsable };
}
