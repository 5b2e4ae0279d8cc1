// A real RabbitMQ of our own, on loopback, that dies and comes back.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { installPackages } from './debian.mjs';
import { start } from './processes.mjs';

const PROGRAM = '/usr/lib/rabbitmq/bin/rabbitmq-server';

/** Why there can be none here; undefined when it can. */
export function rabbitObstacle() {
  if (existsSync(PROGRAM)) return undefined;
  return installPackages(['rabbitmq-server']) ?? (existsSync(PROGRAM) ? undefined : `${PROGRAM} is not there`);
}

export class Rabbit {
  #program;
  #environment;

  /** @param folder of its own; made if it is not there */
  static async start(folder) {
    const rabbit = new Rabbit();
    rabbit.folder = folder;
    mkdirSync(join(folder, 'home'), { recursive: true });
    const [port, distribution, names] = [await freePort(), await freePort(), await freePort()];
    rabbit.port = port;
    writeFileSync(
      join(folder, 'rabbitmq.conf'),
      `listeners.tcp.1 = 127.0.0.1:${port}\nlog.console = true\nlog.file = false\n`,
    );
    writeFileSync(join(folder, 'enabled_plugins'), '[].\n');
    rabbit.#environment = {
      HOME: join(folder, 'home'),
      // Erlang's names and its connections between nodes, away from those of any other broker here.
      ERL_EPMD_ADDRESS: '127.0.0.1',
      ERL_EPMD_PORT: `${names}`,
      RABBITMQ_NODENAME: `portcullis-${port}@localhost`,
      RABBITMQ_DIST_PORT: `${distribution}`,
      RABBITMQ_MNESIA_BASE: join(folder, 'mnesia'),
      RABBITMQ_LOG_BASE: join(folder, 'log'),
      RABBITMQ_CONFIG_FILE: join(folder, 'rabbitmq'),
      RABBITMQ_ENABLED_PLUGINS_FILE: join(folder, 'enabled_plugins'),
      RABBITMQ_PID_FILE: join(folder, 'pid'),
      RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '-kernel inet_dist_use_interface {127,0,0,1} +S 1:1',
    };
    await rabbit.begin();
    return rabbit;
  }

  /** As Neutron's `transport_url` has it. */
  get url() {
    return `rabbit://guest:guest@127.0.0.1:${this.port}//`;
  }

  async begin() {
    let last = '';
    let hasEnded = false;
    this.#program = start(PROGRAM, [], {
      env: this.#environment,
      withErrors: true,
      mayBeSilent: true,
      onLine: (line) => (last = line.trim() === '' ? last : line),
    });
    void this.#program.ended.then(() => (hasEnded = true));
    while (!(await isOpen(this.port))) {
      if (hasEnded) throw new Error(`rabbitmq-server ended: ${last}`);
      await wait(100);
    }
  }

  /** Without a word to anybody. */
  async kill() {
    await this.#program.end();
  }

  async end() {
    await this.kill();
    // Erlang's own daemon of names, which our broker started.
    spawnSync('epmd', ['-kill'], { env: { ...process.env, ...this.#environment }, stdio: 'ignore' });
  }
}

async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function isOpen(port) {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    const end = (answer) => {
      socket.destroy();
      resolve(answer);
    };
    socket.on('connect', () => end(true)).on('error', () => end(false));
  });
}
