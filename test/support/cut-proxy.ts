/** Stands between a client and a server on loopback, and cuts. */
import { connect, createServer, type Server, type Socket } from 'node:net';

export class CutProxy {
  readonly #open = new Set<Socket>();
  #isCuttingAnswers = false;
  #isRefusingThen = false;
  /** That the server has said so far, in bytes. */
  said = 0;
  #port = 0;
  #server: Server | undefined;

  private constructor(private readonly target: number) {}

  /** @param url of the server; of several the first. */
  static async start(url: string): Promise<CutProxy> {
    const proxy = new CutProxy(Number(/:(\d+)/.exec(url)?.[1]));
    await proxy.accept();
    return proxy;
  }

  get port(): number {
    return this.#port;
  }

  /** For a member of etcd, as `--store` takes it. */
  get url(): string {
    return `etcd:http://127.0.0.1:${this.#port}`;
  }

  /** Cuts every connection that there is. */
  cut(): void {
    for (const socket of this.#open) socket.destroy();
  }

  /** The next thing that the server says is lost, with the connection that it says it on. */
  cutAtNextAnswer(): void {
    this.#isCuttingAnswers = true;
  }

  /** The same, and from then on nobody answers here. */
  refuseAtNextAnswer(): void {
    this.#isCuttingAnswers = this.#isRefusingThen = true;
  }

  async accept(): Promise<void> {
    const server = createServer((near) => {
      const far = connect(this.target, '127.0.0.1');
      for (const socket of [near, far]) {
        this.#open.add(socket);
        socket.on('error', () => undefined);
        socket.on('close', () => {
          this.#open.delete(socket);
          near.destroy();
          far.destroy();
        });
      }
      near.pipe(far);
      far.on('data', (chunk: Buffer) => {
        this.said += chunk.length;
        if (this.#isCuttingAnswers) {
          this.#isCuttingAnswers = false;
          near.destroy();
          if (this.#isRefusingThen) void this.refuse();
          this.#isRefusingThen = false;
        } else near.write(chunk);
      });
    });
    this.#server = server;
    await new Promise<void>((resolve) => server.listen(this.#port, '127.0.0.1', resolve));
    const at = server.address();
    if (typeof at === 'object' && at !== null) this.#port = at.port;
  }

  /** Nobody answers here any more. */
  async refuse(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    this.cut();
    if (server !== undefined) await new Promise((resolve) => server.close(resolve));
  }

  async end(): Promise<void> {
    await this.refuse();
  }
}
