/** The process that brings the former rules back hangs or dies: nothing waits for it for ever, and what it was for is done. */
import { readdirSync, readFileSync, rmSync, writeFileSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { eventually } from '../support/waiting.js';
import { Lab } from './lab/lab.js';

const MAIN = 'dist/bin/portcullis.js';
const EXAMPLE = ['-t', 'examples/web-and-database.yaml', '--host', 'compute-1'];
/** A word that the process says, after which it stops: `ready`, or nothing for before it says any. */
const STOPS = `
const after = process.env.STOPS_AFTER;
if (process.argv[1]?.endsWith('confirm-process.js')) {
  if (after === '') process.kill(process.pid, 'SIGSTOP');
  const write = process.stdout.write.bind(process.stdout);
  process.stdout.write = (text) => write(text, () => {
    if (text.startsWith(after)) process.kill(process.pid, 'SIGSTOP');
  });
}
`;

let lab: Lab;
let folder: string;
beforeAll(async () => {
  lab = await Lab.create([]);
});
afterAll(async () => {
  await lab.destroy();
});
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'portcullis-confirm-'));
  writeFileSync(join(folder, 'stops.mjs'), STOPS);
  await lab.must(process.execPath, [MAIN, 'flush']);
  await lab.must(process.execPath, [MAIN, 'baseline']);
});
afterEach(() => {
  rmSync(folder, { recursive: true });
  expect(waiting()).toEqual([]);
});

/** Processes that wait for a confirmation in the lab's host, by their numbers. */
function waiting(): readonly number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        const isOne = readFileSync(`/proc/${pid.toString()}/cmdline`, 'utf8').includes('confirm-process.js');
        return isOne && readFileSync(`/proc/${pid.toString()}/environ`, 'utf8').includes(folder);
      } catch {
        return false;
      }
    });
}

async function rules(): Promise<string> {
  return lab.listing('list', 'ruleset');
}

async function compile(
  seconds: number,
  stopsAfter: string | undefined,
  input: string,
): Promise<{ exitCode: number; stderr: string }> {
  const preload = stopsAfter === undefined ? [] : [`NODE_OPTIONS=--import=${join(folder, 'stops.mjs')}`];
  const env = [...preload, `STOPS_AFTER=${stopsAfter ?? 'never'}`, `FOLDER=${folder}`];
  const args = [process.execPath, MAIN, 'compile', ...EXAMPLE, '--confirm', seconds.toString()];
  return lab.exec('env', [...env, ...args], input);
}

describe('that is stopped', () => {
  it('before it is ready: nothing is loaded, and that is said', async () => {
    const before = await rules();
    const { exitCode, stderr } = await compile(60, '', 'yes\n');
    expect([exitCode, stderr]).toEqual([4, expect.stringContaining('does not start: nothing was loaded')]);
    expect(await rules()).toBe(before);
  });

  it('while it waits, and nobody answers: the former rules are back', async () => {
    const before = await rules();
    const { exitCode, stderr } = await compile(1, 'ready', '');
    expect([exitCode, stderr]).toEqual([2, expect.stringContaining('the former rules are back')]);
    expect(await rules()).toBe(before);
  });

  it('while it waits, and somebody says yes: the rules are kept, whatever becomes of it', async () => {
    const { exitCode, stderr } = await compile(60, 'ready', 'yes\n');
    expect([exitCode, stderr]).toEqual([0, expect.stringContaining('kept')]);
    expect(await rules()).toContain('sg_c0b92b20_in');
  });
});

it('that is killed while it waits: the former rules are back at once', async () => {
  const before = await rules();
  const compiled = compile(3600, undefined, '');
  await eventually(async () => (await rules()).includes('sg_c0b92b20_in'));
  const [pid = 0] = waiting();
  process.kill(pid, 'SIGKILL');
  const { exitCode, stderr } = await compiled;
  expect([exitCode, stderr]).toEqual([2, expect.stringContaining('the former rules are back')]);
  expect(await rules()).toBe(before);
});

it('whose command is killed keeps agents and other commands away until the former rules are back', async () => {
  const before = await rules();
  const compiled = compile(3600, 'ready', '');
  await eventually(async () => (await rules()).includes('sg_c0b92b20_in'));
  const [pid = 0] = waiting();
  const parent = Number(/^PPid:\s*(\d+)$/m.exec(readFileSync(`/proc/${pid.toString()}/status`, 'utf8'))?.[1]);
  process.kill(parent, 'SIGKILL');
  await compiled;
  const beside = await lab.exec(process.execPath, [MAIN, 'compile', ...EXAMPLE]);
  process.kill(pid, 'SIGCONT');
  const says = `another command is changing what is loaded here (process ${pid.toString()})`;
  expect([beside.exitCode, beside.stderr]).toEqual([4, expect.stringContaining(says)]);
  await eventually(() => Promise.resolve(waiting().length === 0));
  expect(await rules()).toBe(before);
});

it('that waits keeps agents and other commands away, and names itself; then they may', async () => {
  const compiled = compile(3600, undefined, '');
  await eventually(async () => (await rules()).includes('sg_c0b92b20_in'));
  const loaded = await rules();
  const source = ['--source', `file:${EXAMPLE[1] ?? ''}`, ...EXAMPLE.slice(2), '--socket', join(folder, 'socket')];
  for (const [command, says] of [
    [['agent', ...source], 'a command is changing what is loaded here (process '],
    [['flush'], 'another command is changing what is loaded here (process '],
    [['compile', ...EXAMPLE], 'another command is changing what is loaded here (process '],
  ] as const) {
    const { exitCode, stdout, stderr } = await lab.exec(process.execPath, [MAIN, ...command]);
    expect([exitCode, `${stdout}${stderr}`]).toEqual([4, expect.stringContaining(says)]);
  }
  expect(await rules()).toBe(loaded);
  process.kill(waiting()[0] ?? 0, 'SIGKILL');
  expect((await compiled).exitCode).toBe(2);
  expect((await lab.exec(process.execPath, [MAIN, 'flush'])).exitCode).toBe(0);
});
