/**
 * What runs inside a guest of the demo: listens on the services' ports and connects where it is told. Speaks JSON lines:
 * in, a list of { address, port }; out, the list of booleans that says which connections were made.
 */
import { connect, createServer } from 'node:net';
import { createInterface } from 'node:readline';

const CONNECT_TIMEOUT_MS = 600;

interface Target {
  readonly address: string;
  readonly port: number;
}

async function tryConnect({ address, port }: Target): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port });
    const end = (reached: boolean): void => {
      socket.destroy();
      resolve(reached);
    };
    socket.setTimeout(CONNECT_TIMEOUT_MS, () => end(false));
    socket.once('connect', () => end(true));
    socket.once('error', () => end(false));
  });
}

const ports = process.argv.slice(2).map(Number);
await Promise.all(
  ports.map(
    (port) =>
      new Promise<void>((resolve) => {
        const server = createServer((socket) => socket.destroy());
        server.listen({ host: '::', port, ipv6Only: false }, () => resolve());
      }),
  ),
);
process.stdout.write('ready\n');

createInterface({ input: process.stdin })
  .on('line', (line) => {
    void Promise.all((JSON.parse(line) as readonly Target[]).map(tryConnect)).then((results) => {
      process.stdout.write(`${JSON.stringify(results)}\n`);
    });
  })
  .on('close', () => process.exit(0));
