/** A process as the API's, without HTTP: the store and everything in memory. Fills a cloud and changes it. Arguments: the address, the shape as JSON. */
import { setTimeout } from 'node:timers/promises';
import { Database } from '../../src/api/database.js';
import { EtcdStore } from '../../src/api/store/etcd.js';
import { parseEtcdAddress } from '../../src/etcd/address.js';
import { changesOf } from './changes.js';
import { Cloud, type CloudShape } from './cloud.js';
import { countSockets, memory, type EngineAnswer, type EngineQuestion } from './processes.js';

/** Ports of one commit: what `portcullis import` takes at once is more, and its memory grows with it. */
const PORTS_OF_COMMIT = 20_000;
const NOBODY = { userId: '', userName: '', projectId: '', roles: [] };

const [, , url = '', shape = ''] = process.argv;
const sockets = countSockets();
// The parent wrote it.
const cloud = new Cloud(JSON.parse(shape) as CloudShape);
const database = await Database.open(await EtcdStore.open(parseEtcdAddress(url), {}), () => undefined);

async function fill(): Promise<void> {
  let [from, ports] = [0, 0];
  for (let group = 0; group < cloud.groupCount; group++) {
    ports += cloud.sizes[group] ?? 0;
    if (ports < PORTS_OF_COMMIT && group < cloud.groupCount - 1) continue;
    const [first, to] = [from, group + 1];
    await database.change(NOBODY, (writer) => {
      cloud.putGroups(writer, first, to);
    });
    [from, ports] = [to, 0];
  }
}

/** One after the other, no faster than so many a second. @returns when each was acknowledged, by revision */
async function change(count: number, rate: number): Promise<EngineAnswer['acknowledged']> {
  const acknowledged: { revision: number; at: number; took: number }[] = [];
  const start = performance.now();
  for (const [number, one] of changesOf(cloud, count).entries()) {
    await setTimeout(Math.max(0, start + (1000 * number) / rate - performance.now()));
    const began = performance.now();
    await database.change(NOBODY, one.apply);
    acknowledged.push({ revision: database.revision, at: now(), took: performance.now() - began });
  }
  return acknowledged;
}

function now(): number {
  return Number(process.hrtime.bigint() / 1000n) / 1000;
}

async function answer(question: EngineQuestion): Promise<EngineAnswer> {
  let acknowledged: EngineAnswer['acknowledged'] = [];
  const start = performance.now();
  if (question.kind === 'fill') await fill();
  if (question.kind === 'change') acknowledged = await change(question.count, question.rate);
  if (question.kind === 'follow reports') database.reports?.follow(() => reports++);
  const seconds = (performance.now() - start) / 1000;
  return { acknowledged, seconds, revision: database.revision, reports, memory: memory(), ...sockets() };
}

let reports = 0;
process.on('message', (question: EngineQuestion) => {
  answer(question).then(
    (done) => process.send?.(done),
    (error: unknown) => {
      process.stderr.write(`${String(error)}\n`);
      process.exit(1);
    },
  );
});
process.once('disconnect', () => process.exit(0));
