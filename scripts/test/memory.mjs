// A folder in memory for what tests write: stores that flush each commit to a disk, which others use as well, wait for it for half of the unit tier.
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';

/** tmpfs(5); in a container often of 64 MiB. */
const MEMORY = '/dev/shm';
const NAME = 'portcullis-test-';
/** What must be free there; in bytes. */
const ROOM_THERE = 2 * 1024 ** 3;
/** What must be available of the machine's memory; in KiB, as proc(5) has it. */
const AVAILABLE = 6 * 1024 * 1024;

/** Whether what a disk is for may be kept in memory: some two gigabytes. */
export function isMemoryPlenty() {
  const [, available = '0'] = /^MemAvailable:\s+(\d+) kB$/m.exec(readFileSync('/proc/meminfo', 'utf8')) ?? [];
  return Number(available) >= AVAILABLE;
}

/** @returns {string | undefined} undefined where there is no room, or where nothing can be executed: tests put programs there */
export function makeMemoryFolder() {
  if (process.platform !== 'linux' || !existsSync(MEMORY)) return undefined;
  removeLeftovers();
  const { bavail, bsize } = statfsSync(MEMORY);
  if (bavail * bsize < ROOM_THERE || !isMemoryPlenty()) return undefined;
  let folder;
  try {
    folder = mkdtempSync(join(MEMORY, `${NAME}${process.pid}-`));
    const program = join(folder, 'program');
    writeFileSync(program, '#!/bin/sh\n');
    chmodSync(program, 0o755);
    if (spawnSync(program).status === 0) return folder;
  } catch {
    // Not ours to write to.
  }
  if (folder !== undefined) removeMemoryFolder(folder);
  return undefined;
}

/** Never fails. */
export function removeMemoryFolder(folder) {
  try {
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  } catch (error) {
    process.stderr.write(`${folder} stays: ${error.message}\n`);
  }
}

/** Of runs that were killed. */
function removeLeftovers() {
  for (const name of readdirSync(MEMORY)) {
    const [, pid] = new RegExp(`^${NAME}(\\d+)-`).exec(name) ?? [];
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) removeMemoryFolder(join(MEMORY, name));
  }
}
