/**
 * `npm run bench`, third part: the control API under load, and from a client's request to the first packet. See bench/README.md.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { mkdtempSync, rmSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { programPath } from '../agent/programs.js';
import { Network } from '../src/cli/demo/network.js';
import { parseTopology, type Port } from '../compiler/model/index.js';
import { median } from './document.js';
import { IS_QUICK, say, Table } from './report.js';

const JSON_BODY = { 'content-type': 'application/json' };
const MAIN = programPath('portcullis');
const GROUPS = 1000;
const CONNECTIONS = [1, 32];
/** Of each measurement, in milliseconds. */
const DURATION = IS_QUICK ? 500 : 4000;
const CHANGES = IS_QUICK ? 7 : 21;

interface Answer {
  readonly status: number;
  readonly body: string;
}

class Client {
  readonly #agent: Agent;

  constructor(
    private readonly port: number,
    connections: number,
  ) {
    this.#agent = new Agent({ keepAlive: true, maxSockets: connections });
  }

  async ask(method: string, path: string, body?: object): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const asked = request(
        { host: '127.0.0.1', port: this.port, method, path: `/v2.0/${path}`, agent: this.#agent, headers: JSON_BODY },
        (answer) => {
          const chunks: Buffer[] = [];
          answer.on('data', (chunk: Buffer) => chunks.push(chunk));
          answer.on('end', () => {
            resolve({ status: answer.statusCode ?? 0, body: Buffer.concat(chunks).toString() });
          });
        },
      );
      asked.once('error', reject);
      asked.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }

  async make(path: string, singular: string, fields: object): Promise<Readonly<Record<string, unknown>>> {
    const { status, body } = await this.ask('POST', path, { [singular]: fields });
    if (status !== 201) throw new Error(`POST ${path}: ${status.toString()} ${body}`);
    return (JSON.parse(body) as Readonly<Record<string, Readonly<Record<string, unknown>>>>)[singular] ?? {};
  }

  end(): void {
    this.#agent.destroy();
  }
}

async function listening(child: ChildProcess): Promise<number> {
  let output = '';
  return new Promise((resolve, reject) => {
    child.stderr?.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      const port = /"address":"http:\/\/127\.0\.0\.1:(\d+)"/.exec(output)?.[1];
      if (port !== undefined) resolve(Number(port));
    });
    child.once('exit', () => {
      reject(new Error(output.slice(-500)));
    });
  });
}

function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}

async function measure(
  table: Table,
  what: string,
  port: number,
  connections: number,
  ask: (client: Client, turn: number) => Promise<Answer>,
): Promise<void> {
  const client = new Client(port, connections);
  const times: number[] = [];
  let turn = 0;
  const until = performance.now() + DURATION;
  await Promise.all(
    Array.from({ length: connections }, async () => {
      while (performance.now() < until) {
        const start = performance.now();
        const { status, body } = await ask(client, turn++);
        if (status >= 300) throw new Error(`${what}: ${status.toString()} ${body.slice(0, 200)}`);
        times.push(performance.now() - start);
      }
    }),
  );
  client.end();
  times.sort((a, b) => a - b);
  const rate = (1000 * times.length) / DURATION;
  table.row(what, connections, rate, quantile(times, 0.5), quantile(times, 0.99));
}

async function load(folder: string): Promise<void> {
  const child = spawn(
    process.execPath,
    [
      MAIN,
      'api',
      '--listen',
      '127.0.0.1:0',
      '--store',
      join(folder, 'load'),
      '--rate',
      '1000000',
      '--log-level',
      'info',
    ],
    {
      stdio: ['ignore', 'ignore', 'pipe'],
    },
  );
  try {
    const port = await listening(child);
    const client = new Client(port, 8);
    await client.ask('PUT', 'quotas/default', { quota: { security_group: -1, security_group_rule: -1 } });
    const ids: string[] = [];
    for (let number = 0; number < GROUPS; number++) {
      ids.push(
        String((await client.make('security-groups', 'security_group', { name: `group${number.toString()}` }))['id']),
      );
    }
    client.end();
    const table = new Table('requests', [
      { name: 'request' },
      { name: 'connections' },
      { name: 'a second' },
      { name: 'median', unit: 'ms', digits: 2 },
      { name: 'p99', unit: 'ms', digits: 2 },
    ]);
    for (const connections of CONNECTIONS) {
      const list = 'security-groups?fields=id&fields=name&fields=description&fields=project_id&fields=tags';
      await measure(table, 'list 1 000 groups, as the client does', port, connections, async (one) =>
        one.ask('GET', list),
      );
      await measure(table, 'list 1 000 groups with their rules', port, connections, async (one) =>
        one.ask('GET', 'security-groups'),
      );
      await measure(table, 'show a group', port, connections, async (one, turn) =>
        one.ask('GET', `security-groups/${ids[turn % GROUPS] ?? ''}`),
      );
      await measure(table, 'create a rule', port, connections, async (one, turn) =>
        one.ask('POST', 'security-group-rules', {
          security_group_rule: {
            security_group_id: ids[turn % GROUPS],
            direction: 'ingress',
            protocol: 'tcp',
            port_range_min: 1 + connections * 1000 + Math.floor(turn / GROUPS),
            port_range_max: 1 + connections * 1000 + Math.floor(turn / GROUPS),
          },
        }),
      );
    }
  } finally {
    child.kill('SIGKILL');
  }
}

// From the request to the first packet: in a namespace, with an agent that serves the API

async function firstPacket(folder: string): Promise<void> {
  const network = new Network('pcbench-', 'here');
  spawnSync('ip', ['link', 'set', 'lo', 'up']);
  spawnSync('sysctl', ['-qw', 'net.ipv4.ip_forward=1']);
  const child = spawn(
    process.execPath,
    [
      MAIN,
      'agent',
      '--api',
      '127.0.0.1:0',
      '--store',
      join(folder, 'packet'),
      '--host',
      'here',
      '--socket',
      join(folder, 'sock'),
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  const helpers: ChildProcess[] = [];
  try {
    const client = new Client(await listening(child), 1);
    const id = async (...args: Parameters<Client['make']>): Promise<string> =>
      String((await client.make(...args))['id']);
    const net = await id('networks', 'network', { name: 'net' });
    await client.make('subnets', 'subnet', { network_id: net, cidr: '10.77.0.0/24' });
    const group = await id('security-groups', 'security_group', { name: 'g' });
    const plugged = await Promise.all(
      ['a', 'b'].map(async (name) =>
        client.make('ports', 'port', { network_id: net, name, security_groups: [group], 'binding:host_id': 'here' }),
      ),
    );
    const { topology } = parseTopology([
      { file: '', content: { ports: plugged, security_groups: [{ id: group, security_group_rules: [] }] } },
    ]);
    const [from, to] = [...topology.ports.values()] as [Port, Port];
    const guests = [from, to].map((port) => network.plug(port));
    await setTimeout(1000);
    const self = fileURLToPath(import.meta.url);
    const receiver = spawn('ip', ['netns', 'exec', guests[1] ?? '', process.execPath, self, 'receive'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const sender = spawn(
      'ip',
      ['netns', 'exec', guests[0] ?? '', process.execPath, self, 'send', to.fixedIps[0]?.text ?? ''],
      { stdio: 'inherit' },
    );
    helpers.push(receiver, sender);
    let arrived: (time: bigint) => void = () => undefined;
    createInterface({ input: receiver.stdout }).on('line', (line) => {
      arrived(BigInt(line));
    });
    await setTimeout(1000);
    const [times, answers]: [number[], number[]] = [[], []];
    for (let run = 0; run < CHANGES; run++) {
      const start = process.hrtime.bigint();
      const first = new Promise<bigint>((resolve) => {
        arrived = (time) => {
          if (time > start) resolve(time);
        };
      });
      const rule = await id('security-group-rules', 'security_group_rule', {
        security_group_id: group,
        direction: 'ingress',
        protocol: 'udp',
        port_range_min: 7,
        port_range_max: 7,
      });
      answers.push(Number(process.hrtime.bigint() - start) / 1e6);
      times.push(Number((await first) - start) / 1e6);
      await client.ask('DELETE', `security-group-rules/${rule}`);
      await setTimeout(300);
    }
    say(
      `\nFrom a client's POST of a rule to the first datagram that it lets through (sent every millisecond): ${median(times).toFixed(1)} ms, the answer after ${median(answers).toFixed(1)} ms.`,
    );
    client.end();
  } finally {
    for (const helper of [...helpers, child]) helper.kill('SIGKILL');
    network.remove();
  }
}

/** Each datagram is of a flow of its own, so that the answer to each is the policy's. */
function send(address: string): void {
  let port = 10_000;
  setInterval(() => {
    const socket = createSocket('udp4');
    port = port >= 60_000 ? 10_000 : port + 1;
    socket.on('error', () => {
      socket.close();
    });
    socket.bind(port, () => {
      socket.send('x', 7, address, () => socket.close());
    });
  }, 1);
}

function receive(): void {
  const socket = createSocket('udp4');
  socket.on('message', () => {
    process.stdout.write(`${process.hrtime.bigint().toString()}\n`);
  });
  socket.bind(7);
}

async function main(): Promise<void> {
  const [, , what, address = ''] = process.argv;
  if (what === 'send') {
    send(address);
    return;
  }
  if (what === 'receive') {
    receive();
    return;
  }
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-bench-'));
  try {
    if (what === 'inside') await firstPacket(folder);
    else await load(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
  if (what === 'inside') process.exit(0);
  if (process.getuid?.() !== 0) {
    say('first packet: not run: it needs root, for network namespaces');
    return;
  }
  const args = ['-n', process.execPath, fileURLToPath(import.meta.url), 'inside', ...process.argv.slice(2)];
  process.exit(spawnSync('unshare', args, { stdio: 'inherit' }).status ?? 1);
}

await main();
