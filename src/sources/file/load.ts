/** A topology from files, once. */
import { parseTopology, type ParsedTopology, type ParseOptions } from '../../model/index.js';
import { readTopologyPath } from './read.js';

/** Reads and parses a topology; problems of files stand before those of their contents. */
export async function loadTopology(path: string, options?: ParseOptions): Promise<ParsedTopology> {
  const { documents, problems } = await readTopologyPath(path);
  const parsed = parseTopology(documents, options);
  // Nobody knows what a file that cannot be read would have said.
  const isUsable = parsed.isUsable && problems.every(({ severity }) => severity !== 'error');
  return { ...parsed, problems: [...problems, ...parsed.problems], isUsable };
}
