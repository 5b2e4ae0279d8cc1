/**
 * Runs in a guest: keeps TCP and UDP streams going in both directions and counts what arrives. Speaks JSON lines: each
 * command is answered by one line.
 *
 * Every message is a number that counts up, so that what is missing is known exactly; TCP carries one per line.
 */
import { createSocket } from 'node:dgram';
import { connect, createServer, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { setImmediate, setTimeout } from 'node:timers/promises';

export interface StreamReport {
  readonly sent: number;
  readonly received: number;
  /** Numbers below the highest one that never came. */
  readonly lost: number;
  readonly isOpen: boolean;
}

export type Command =
  /** `every`: between two messages, in milliseconds. */
  | {
      readonly do: 'serve';
      readonly name: string;
      readonly protocol: 'tcp' | 'udp';
      readonly port: number;
      readonly every: number;
    }
  | {
      readonly do: 'call';
      readonly name: string;
      readonly protocol: 'tcp' | 'udp';
      readonly address: string;
      readonly port: number;
      readonly localPort: number;
      readonly every: number;
    }
  | { readonly do: 'report' }
  /** Record single datagrams that come to these ports. */
  | { readonly do: 'listen'; readonly ports: readonly number[] }
  /** From now on send a datagram to one of the targets every few milliseconds, each from a port of its own. */
  | { readonly do: 'spray'; readonly every: number; readonly targets: readonly SprayTarget[] }
  | { readonly do: 'drain' }
  | { readonly do: 'close-server'; readonly port: number; readonly how: Closing }
  | { readonly do: 'close-client'; readonly address: string; readonly port: number; readonly how: Closing };

/** FIN from the client, RST from it, FIN of one half while the other goes on, FIN from both at once. */
export type Closing = 'end' | 'reset' | 'half' | 'both';

export interface SprayTarget {
  /** Names sender, receiver, family and port. */
  readonly kind: string;
  readonly address: string;
  readonly port: number;
}

export interface SprayLog {
  readonly sent: readonly Datagram[];
  readonly received: readonly Datagram[];
}

export interface Datagram {
  readonly kind: string;
  readonly number: number;
  /** On the clock that all processes share (CLOCK_MONOTONIC), in milliseconds. */
  readonly at: number;
}

class Stream {
  sent = 0;
  received = 0;
  highest = -1;
  isOpen = false;
  #timer: NodeJS.Timeout | undefined;

  /** @param every milliseconds that a message is sent. */
  constructor(private readonly every: number) {}

  begin(send: (text: string) => void): void {
    if (this.isOpen) return;
    this.isOpen = true;
    this.#timer = setInterval(() => {
      send(`${(this.sent++).toString()}\n`);
    }, this.every);
  }

  end(): void {
    this.isOpen = false;
    clearInterval(this.#timer);
  }

  take(text: string): void {
    receipts++;
    this.received++;
    this.highest = Math.max(this.highest, Number(text));
  }

  report(): StreamReport {
    return { sent: this.sent, received: this.received, lost: this.highest + 1 - this.received, isOpen: this.isOpen };
  }
}

const streams = new Map<string, Stream>();

/** What was received so far by anything in this process: see {@link allRead}. */
let receipts = 0;
/** Turns of the event loop without a receipt after which nothing is left to read: each turn reads every socket that has something. */
const QUIET_TURNS = 3;

/** Done when everything that the kernel has delivered by now has been read; however slow this process was. */
async function allRead(): Promise<void> {
  let quiet = 0;
  let before = receipts;
  // Others go on sending: what came while we read is enough.
  for (let turn = 0; turn < 1000 && quiet < QUIET_TURNS; turn++) {
    await setImmediate();
    quiet = receipts === before ? quiet + 1 : 0;
    before = receipts;
  }
}

function newStream({ name, every }: Extract<Command, { do: 'serve' | 'call' }>): Stream {
  const stream = new Stream(every);
  streams.get(name)?.end();
  streams.set(name, stream);
  return stream;
}

function talk(socket: Socket, stream: Stream): void {
  socket.setNoDelay();
  // What cannot be sent is kept by the kernel; a stream that is cut for minutes is not what this is for.
  stream.begin((text) => socket.write(text));
  createInterface({ input: socket })
    .on('line', (line) => {
      stream.take(line);
    })
    .on('error', () => undefined);
  socket.on('error', () => undefined);
  socket.on('close', () => {
    stream.end();
  });
}

function datagrams(stream: Stream, port: number, peer: { address: string; port: number } | undefined): Promise<void> {
  const socket = createSocket({ type: 'udp6', ipv6Only: false });
  let to = peer;
  const begin = (): void => {
    stream.begin((text) => {
      if (to !== undefined) socket.send(text, to.port, to.address, () => undefined);
    });
  };
  socket.on('message', (message, from) => {
    to ??= from;
    stream.take(message.toString());
    begin();
  });
  socket.on('error', () => undefined);
  return new Promise((resolve) => {
    socket.bind(port, () => {
      if (peer !== undefined) begin();
      resolve();
    });
  });
}

const mapped = (address: string): string => (address.includes(':') ? address : `::ffff:${address}`);

const now = (): number => Number(process.hrtime.bigint() / 1000n) / 1000;
const log: { sent: Datagram[]; received: Datagram[] } = { sent: [], received: [] };
let sprayed = 0;

/** Sends one datagram. */
async function spray(targets: readonly SprayTarget[]): Promise<void> {
  const target = targets[Math.floor(Math.random() * targets.length)];
  if (target === undefined) return;
  const socket = createSocket(target.address.includes(':') ? 'udp6' : 'udp4');
  const number = sprayed++;
  log.sent.push({ kind: target.kind, number, at: now() });
  await new Promise<void>((resolve) => {
    socket.on('error', () => {
      resolve();
    });
    socket.send(`${target.kind}/${number.toString()}`, target.port, target.address, () => {
      resolve();
    });
  });
  socket.close();
}

/** For each part of the time that a datagram takes, so many parts pass without: whoever sprays must not take the processors from who is waited for. */
const PAUSES = 3;

async function sprayFrom(targets: readonly SprayTarget[], every: number): Promise<never> {
  for (;;) {
    const start = now();
    await spray(targets);
    const took = now() - start;
    await setTimeout(Math.max(every - took, PAUSES * took));
  }
}

const listening = new Set<number>();

async function listen(port: number): Promise<void> {
  if (listening.has(port)) return;
  listening.add(port);
  const socket = createSocket({ type: 'udp6', ipv6Only: false, recvBufferSize: 1 << 20 });
  socket.on('message', (message) => {
    const [kind = '', number = ''] = message.toString().split('/');
    receipts++;
    log.received.push({ kind, number: Number(number), at: now() });
  });
  await new Promise<void>((resolve) => socket.bind(port, resolve));
}

/** Serves one connection. */
async function closeAsServer(port: number, how: Closing): Promise<void> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    server.close();
    socket.on('error', () => undefined);
    socket.write('hello\n');
    if (how === 'both') socket.end();
    socket.resume();
    socket.on('end', () => {
      if (how === 'half') socket.write('still here\n');
      socket.end();
    });
  });
  await new Promise<void>((resolve) => server.listen({ host: '::', port }, resolve));
}

/** Done when the connection is closed at this end. */
async function closeAsClient(address: string, port: number, how: Closing): Promise<'closed' | 'half was cut off'> {
  const socket = connect({ host: address, port, allowHalfOpen: true });
  socket.on('error', () => undefined);
  let text = '';
  await new Promise<void>((resolve) =>
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      resolve();
    }),
  );
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  if (how === 'reset') socket.resetAndDestroy();
  else socket.end();
  await closed;
  return how === 'half' && !text.includes('still here') ? 'half was cut off' : 'closed';
}

async function obey(command: Command): Promise<unknown> {
  switch (command.do) {
    case 'serve': {
      const stream = newStream(command);
      if (command.protocol === 'udp') return datagrams(stream, command.port, undefined);
      return new Promise<void>((resolve) => {
        createServer((socket) => {
          talk(socket, stream);
        }).listen({ host: '::', port: command.port }, resolve);
      });
    }
    case 'call': {
      const stream = newStream(command);
      const { address, port, localPort } = command;
      if (command.protocol === 'udp') return datagrams(stream, localPort, { address: mapped(address), port });
      const socket = connect({ host: address, port, localPort });
      socket.on('error', () => undefined);
      return new Promise<void>((resolve) => {
        socket.once('connect', () => {
          talk(socket, stream);
        });
        resolve();
      });
    }
    case 'listen':
      await Promise.all(command.ports.map(listen));
      return undefined;
    case 'spray':
      void sprayFrom(command.targets, command.every);
      return undefined;
    case 'drain': {
      await allRead();
      const drained = { ...log };
      log.sent = [];
      log.received = [];
      return drained;
    }
    case 'close-server':
      return closeAsServer(command.port, command.how);
    case 'close-client':
      return closeAsClient(command.address, command.port, command.how);
    case 'report':
      await allRead();
      return Object.fromEntries([...streams].map(([name, stream]) => [name, stream.report()]));
  }
}

process.stdout.write('null\n');
createInterface({ input: process.stdin })
  .on('line', (line) => {
    void obey(JSON.parse(line) as Command).then((answer) => {
      process.stdout.write(`${JSON.stringify(answer ?? null)}\n`);
    });
  })
  .on('close', () => process.exit(0));
