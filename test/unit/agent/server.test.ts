/** What whoever reaches the port for Prometheus can take of an agent. */
import { connect, type AddressInfo, type Socket } from 'node:net';
import { once } from 'node:events';
import { afterEach, expect, it } from 'vitest';
import { Metrics } from '../../../agent/metrics.js';
import { serveMetrics, type Answers } from '../../../agent/server.js';

const notAsked = (): never => {
  throw new Error('not asked');
};
const ANSWERS: Answers = {
  status: notAsked,
  counted: notAsked,
  metrics: new Metrics(),
  topology: notAsked,
  accept: notAsked,
  release: notAsked,
};

const ends: (() => void)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
});

async function served(): Promise<{ readonly server: Awaited<ReturnType<typeof serveMetrics>>; readonly port: number }> {
  const server = await serveMetrics('127.0.0.1:0', ANSWERS);
  ends.push(() => server.close().closeAllConnections());
  return { server, port: (server.address() as AddressInfo).port };
}

async function connected(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1').on('error', () => undefined);
  ends.push(() => socket.destroy());
  await once(socket, 'connect');
  return socket;
}

it('whoever opens connections and asks nothing has 64 of them, and loses these', async () => {
  const { server, port } = await served();
  let dropped = 0;
  server.on('drop', () => dropped++);
  const sockets = await Promise.all(Array.from({ length: 200 }, async () => connected(port)));
  // Those that are held lose theirs since no request arrives.
  await Promise.all(sockets.map(async (socket) => socket.destroyed || once(socket.resume(), 'close')));
  expect(dropped).toBe(136);
  expect((await fetch(`http://127.0.0.1:${port.toString()}/metrics`)).status).toBe(200);
});

it('a connection that the kernel cannot give ends no agent', async () => {
  const { server, port } = await served();
  // As net.Server does where accept(2) fails: EMFILE, ENOBUFS.
  server.emit('error', Object.assign(new Error('accept EMFILE'), { code: 'EMFILE' }));
  expect((await fetch(`http://127.0.0.1:${port.toString()}/metrics`)).status).toBe(200);
});
