import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { takeFileLock } from '../../../src/system/file-lock.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'portcullis-lock-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

it('is one process’s at a time', async () => {
  const inner = join(folder, 'made');
  expect(await takeFileLock(inner, 'agent')).toBe(true);
  expect(await takeFileLock(inner, 'agent')).toBe(false);
  expect(await takeFileLock(inner, 'other')).toBe(true);
});

it('is not taken where others may write', async () => {
  chmodSync(folder, 0o777);
  await expect(takeFileLock(folder, 'agent')).rejects.toThrow('others may write there');
});
