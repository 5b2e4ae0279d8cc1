import { execFileSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { LogSink } from '../../../src/system/log-sink.js';
import { eventually } from '../../support/waiting.js';

let folder: string;
let pipe: number;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'portcullis-log-'));
  execFileSync('mkfifo', [join(folder, 'pipe')]);
  // Both ends, so that it has a reader who does not read.
  pipe = openSync(join(folder, 'pipe'), constants.O_RDWR | constants.O_NONBLOCK);
});
afterEach(() => {
  closeSync(pipe);
  rmSync(folder, { recursive: true });
});

/** Everything that is in the pipe now. */
function read(): string {
  const buffer = Buffer.alloc(1 << 20);
  let text = '';
  try {
    for (;;) text += buffer.toString('utf8', 0, readSync(pipe, buffer));
  } catch {
    return text;
  }
}

it('a pipe that nobody reads delays nobody; what does not fit is counted, and told when somebody reads', async () => {
  const sink = new LogSink(pipe);
  const line = `${'x'.repeat(999)}\n`;
  for (let n = 0; n < 5000; n++) sink.write(line);
  expect(sink.dropped).toBeGreaterThan(3000);
  const { dropped } = sink;
  let text = '';
  await eventually(() => {
    text += read();
    return text.includes('nobody read them');
  });
  const lines = text.trimEnd().split('\n');
  expect(lines.filter((one) => one.length === 999)).toHaveLength(5000 - dropped);
  expect(JSON.parse(lines.at(-1) ?? '')).toMatchObject({ lines: dropped });
  sink.write('again\n');
  expect(read()).toBe('again\n');
});
