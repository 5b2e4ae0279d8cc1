import { chmodSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { lockFile, takeFileLock } from '../../../src/system/file-lock.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'portcullis-lock-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

it('is one process’s at a time', async () => {
  const inner = join(folder, 'made');
  const lock = await takeFileLock(inner, 'agent');
  expect(lock).toBeDefined();
  expect(await takeFileLock(inner, 'agent')).toBeUndefined();
  expect(await takeFileLock(inner, 'other')).toBeDefined();
  lock?.release();
  expect(await takeFileLock(inner, 'agent')).toBeDefined();
});

it('is not taken where others may write', async () => {
  chmodSync(folder, 0o777);
  await expect(takeFileLock(folder, 'agent')).rejects.toThrow('others may write there');
});

it('follows no link, which somebody may have put there', async () => {
  symlinkSync('/dev/null', join(folder, 'link'));
  await expect(lockFile(join(folder, 'link'))).rejects.toThrow('ELOOP');
});
