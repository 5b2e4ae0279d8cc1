/**
 * `npm run bench`, last part: what an agent keeps of each member that its rules name, counted in a heap after a collection. All of an agent but
 * its process is real: what etcd holds, the view of it, the feed, what is in force, the compiler. See bench/README.md and docs/scale.md.
 */
import { spawnSync } from 'node:child_process';
import { writeHeapSnapshot } from 'node:v8';
import { fileURLToPath } from 'node:url';
import { IS_QUICK, Table } from './report.js';
import { AgentMemory } from '../test/support/agent-memory.js';

const MEMBERS = IS_QUICK ? [0, 10_000] : [0, 1000, 10_000, 100_000];

interface Measured {
  /** In bytes, after a collection. */
  readonly heap: number;
  readonly resident: number;
}

/** In a process of its own, so that nothing is left of another number's. */
function measure(members: number): Measured {
  const args = ['--expose-gc', '--max-semi-space-size=2', fileURLToPath(import.meta.url), 'count', String(members)];
  const { stdout, status } = spawnSync(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  if (status !== 0) throw new Error(`${String(members)} members: status ${String(status)}`);
  return JSON.parse(stdout.toString()) as Measured;
}

function count(members: number): Measured {
  const agent = new AgentMemory(members);
  for (let run = 0; run < 4; run++) globalThis.gc?.();
  const measured = { heap: process.memoryUsage().heapUsed, resident: process.memoryUsage.rss() };
  const [, , , , snapshot] = process.argv;
  if (snapshot !== undefined) writeHeapSnapshot(snapshot);
  if (agent.elements < members) throw new Error('not all of them are in the rules');
  return measured;
}

const [, , what, number = '0'] = process.argv;
if (what === 'count') process.stdout.write(JSON.stringify(count(Number(number))));
else {
  const mebibytes = (bytes: number): number => bytes / 1024 / 1024;
  const none = measure(0);
  const table = new Table('one group that the rules of 100 ports name', [
    { name: 'members' },
    { name: 'heap', unit: 'MiB', digits: 1 },
    { name: 'a member', unit: 'B' },
    { name: 'resident', unit: 'MiB', digits: 1 },
  ]);
  for (const members of MEMBERS) {
    const { heap, resident } = members === 0 ? none : measure(members);
    table.row(members, mebibytes(heap), members === 0 ? '' : (heap - none.heap) / members, mebibytes(resident));
  }
}
