/**
 * Applies transactions in the network namespace where it runs: a line of standard input each, messages as JSON; a line each says what became
 * of it. With a number of milliseconds as argument it is busy for as long after each one was sent, before it reads any answer.
 */
import { createInterface } from 'node:readline';
import { applyMessages } from '../../../agent/kernel/netlink-load.js';

export interface ToSend {
  /** The payload in base64. */
  readonly messages: readonly { readonly type: number; readonly flags: number; readonly payload: string }[];
  readonly generation?: number;
}

const busy = Number(process.argv[2] ?? 0);

function stayBusy(): void {
  const until = performance.now() + busy;
  while (performance.now() < until);
}

for await (const line of createInterface({ input: process.stdin })) {
  // The tests write this shape.
  const { messages, generation } = JSON.parse(line) as ToSend;
  const decoded = messages.map((message, index) => ({
    ...message,
    payload: Buffer.from(message.payload, 'base64'),
    about: `message ${index.toString()}`,
  }));
  const applied = applyMessages(decoded, () => undefined, generation);
  stayBusy();
  await applied.then(
    () => process.stdout.write('ok\n'),
    (error: unknown) => process.stdout.write(`${String(error)}\n`),
  );
}
