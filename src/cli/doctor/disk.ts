/** Room where the agent and the API write. */
import { statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { failed, ok, warning, type Finding } from './finding.js';

export interface RoomFacts {
  readonly path: string;
  /** For who is not root, in bytes. */
  readonly free: number;
  /** Of files that can still be made; undefined where the file system does not count them. */
  readonly freeFiles: number | undefined;
}

const LITTLE_BYTES = 64 * 1024 * 1024;
/** A commit of the store needs as much (src/api/store/room.ts). */
const NOTHING_BYTES = 512 * 1024;

/** Of the folder, or of the one in which it will be made. */
export async function roomAt(path: string): Promise<RoomFacts> {
  for (let folder = path; ; folder = dirname(folder)) {
    try {
      const { bavail, bsize, files, ffree } = await statfs(folder);
      return { path: folder, free: bavail * bsize, freeFiles: files === 0 ? undefined : ffree };
    } catch (error) {
      const isAbsent = error instanceof Error && 'code' in error && error.code === 'ENOENT';
      if (!isAbsent || folder === dirname(folder)) throw error;
    }
  }
}

export function judgeRoom(facts: readonly RoomFacts[]): readonly Finding[] {
  const findings = facts.flatMap(({ path, free, freeFiles }): readonly Finding[] => {
    const mend = `make room: du -x ${path} | sort -n | tail`;
    if (free < NOTHING_BYTES || freeFiles === 0) {
      return [failed(`${path} is full: no status socket can be made, and no store can be written`, mend)];
    }
    return free < LITTLE_BYTES
      ? [warning(`${path} has ${Math.round(free / 1024 / 1024).toString()} MiB left`, mend)]
      : [];
  });
  return findings.length > 0
    ? findings
    : [ok(`there is room in ${[...new Set(facts.map(({ path }) => path))].join(', ')}`)];
}
