/** One agent for each network namespace: tables are the namespace's, and so is an abstract unix socket (unix(7)). */
import { createServer, type Server } from 'node:net';

const NAME = '\0portcullis-agent';

/** @returns undefined when another agent has the lock. It is released when the process ends, however it ends. */
export async function takeLock(): Promise<Server | undefined> {
  const server = createServer((socket) => socket.destroy());
  server.unref();
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(undefined);
      else reject(error);
    });
    server.listen({ path: NAME, exclusive: true }, () => {
      resolve(server);
    });
  });
}
