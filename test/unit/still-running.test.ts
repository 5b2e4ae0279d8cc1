/** What is said of a test that goes on no more: which programs still run, below others that it started, and what they wait for. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, it } from 'vitest';
import { stillRunning } from '../support/still-running.js';
import { eventually } from '../support/waiting.js';

it('names each program below this process, with what each of its threads waits for, until it has ended', async () => {
  const child = spawn('sh', ['-c', 'sleep 987654 & wait'], { stdio: 'ignore', detached: true });
  const ended = once(child, 'exit');
  const pid = child.pid ?? 0;
  try {
    await eventually(() => /^\d+ sleep 987654 : sleep S \S+$/m.test(stillRunning()));
    expect(stillRunning()).toMatch(new RegExp(`^${pid.toString()} sh -c sleep 987654 & wait : sh S \\S+$`, 'm'));
  } finally {
    process.kill(-pid, 'SIGKILL');
  }
  await ended;
  await eventually(() => !stillRunning().includes('987654'));
});
