/**
 * Marks the flows of the network namespace where it runs. A line of standard input each: `list` remembers all flows that are there, `set BITS`
 * and `clear BITS` do so to those that are remembered; a line each says how many there were.
 */
import { createInterface } from 'node:readline';
import { Conntrack, type Flow } from '../../../agent/netlink/conntrack.js';

const conntrack = new Conntrack();
let remembered: readonly Flow[] = [];

async function answer([command, bits]: readonly string[]): Promise<number> {
  if (command === 'list') {
    remembered = await conntrack.flows(() => true);
    return remembered.length;
  }
  return conntrack.mark(remembered, Number(bits), command === 'set');
}

for await (const line of createInterface({ input: process.stdin })) {
  await answer(line.split(' ')).then(
    (count) => process.stdout.write(`${count.toString()}\n`),
    (error: unknown) => process.stdout.write(`${String(error)}\n`),
  );
}
