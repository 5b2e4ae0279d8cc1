/** A lock of one process: an abstract unix socket (unix(7)), which the kernel gives back when the process ends, however it ends. */
import { createServer, type Server } from 'node:net';

/**
 * @param name of the lock; it holds within one network namespace.
 * @returns undefined when another process has it.
 */
export async function takeLock(name: string): Promise<Server | undefined> {
  const server = createServer((socket) => socket.destroy());
  server.unref();
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(undefined);
      else reject(error);
    });
    server.listen({ path: `\0${name}`, exclusive: true }, () => {
      resolve(server);
    });
  });
}
