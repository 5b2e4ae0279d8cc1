/**
 * Runs in a guest: sends single datagrams, records what arrives, and says when. Speaks JSON lines as the talker does.
 *
 * Each sprayed datagram has a source port of its own, which comes again only after {@link FLOW_PORTS} others: long after the
 * kernel has forgotten its flow. So each is a first packet, whatever was admitted before.
 */
import { createSocket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

export interface Target {
  /** Names sender, receiver, family and port. */
  readonly kind: string;
  readonly address: string;
  readonly port: number;
}

export type SprayerCommand =
  /** Record what comes to these ports. */
  | { readonly do: 'listen'; readonly ports: readonly number[] }
  /** Answer what comes to these ports from now on, so that connection tracking calls its flow established. */
  | { readonly do: 'answer'; readonly ports: readonly number[] }
  /** From now on a datagram every few milliseconds, to each of the targets in turn. */
  | { readonly do: 'spray'; readonly every: number; readonly targets: readonly Target[] }
  /** One datagram from each of these ports, to one target; answered when they are sent. */
  | { readonly do: 'send'; readonly target: Target; readonly from: readonly number[] }
  | { readonly do: 'drain' };

/** Times are on the clock that all processes share (CLOCK_MONOTONIC), in milliseconds. */
export interface Sent {
  readonly kind: string;
  readonly number: number;
  readonly sourcePort: number;
  /** It was sent between these two. */
  readonly from: number;
  readonly by: number;
}

export interface Received {
  readonly kind: string;
  readonly number: number;
  /** When it was read from the socket: it had passed before. */
  readonly at: number;
}

export interface Drained {
  readonly sent: readonly Sent[];
  readonly received: readonly Received[];
  /** Datagrams that came and found a socket's buffer full, since the guest was made: no packet filter's doing. */
  readonly overrun: number;
}

/** The first of the ports for spraying; those below are for flows that a test names. */
const FIRST_FLOW_PORT = 30_000;
const FLOW_PORTS = 31_000;

const now = (): number => Number(process.hrtime.bigint() / 1000n) / 1000;
let sent: Sent[] = [];
let received: Received[] = [];
let counter = 0;

async function send({ kind, address, port }: Target, sourcePort: number): Promise<void> {
  const number = counter++;
  const isV6 = address.includes(':');
  const socket = createSocket(isV6 ? 'udp6' : 'udp4');
  const isBound = await new Promise<boolean>((resolve) => {
    socket.once('error', () => {
      resolve(false);
    });
    socket.bind(sourcePort, () => {
      resolve(true);
    });
  });
  // Somebody else has that port here: this number was never sent.
  if (!isBound) return;
  const from = now();
  await new Promise<void>((resolve) => {
    socket.send(`${kind}/${number.toString()}`, port, address, (error) => {
      if (error === null) sent.push({ kind, number, sourcePort, from, by: now() });
      socket.close(resolve);
    });
  });
}

const listening = new Set<number>();
const answered = new Set<number>();

async function listen(port: number): Promise<void> {
  if (listening.has(port)) return;
  listening.add(port);
  const socket = createSocket({ type: 'udp6', ipv6Only: false, recvBufferSize: 1 << 20 });
  socket.on('error', () => undefined);
  socket.on('message', (message, from) => {
    if (answered.has(port)) socket.send('answer', from.port, from.address);
    const [kind = '', number = ''] = message.toString().split('/');
    received.push({ kind, number: Number(number), at: now() });
  });
  await new Promise<void>((resolve) => socket.bind(port, resolve));
}

/** RcvbufErrors of UDP in this namespace, both families. */
function overrun(): number {
  const [names = '', values = ''] = readFileSync('/proc/net/snmp', 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('Udp:'));
  const v4 = values.split(' ')[names.split(' ').indexOf('RcvbufErrors')] ?? 0;
  const v6 = /^Udp6RcvbufErrors\s+(\d+)/m.exec(readFileSync('/proc/net/snmp6', 'utf8'))?.[1] ?? 0;
  return Number(v4) + Number(v6);
}

function drain(): Drained {
  const drained = { sent, received, overrun: overrun() };
  sent = [];
  received = [];
  return drained;
}

async function obey(command: SprayerCommand): Promise<unknown> {
  switch (command.do) {
    case 'listen':
      await Promise.all(command.ports.map(listen));
      return undefined;
    case 'answer':
      for (const port of command.ports) answered.add(port);
      return undefined;
    case 'spray': {
      const { targets, every } = command;
      let next = 0;
      setInterval(() => {
        const target = targets[next % targets.length];
        if (target !== undefined) void send(target, FIRST_FLOW_PORT + (next++ % FLOW_PORTS));
      }, every);
      return undefined;
    }
    case 'send':
      for (const port of command.from) await send(command.target, port);
      return undefined;
    case 'drain':
      return drain();
  }
}

process.stdout.write('null\n');
createInterface({ input: process.stdin })
  .on('line', (line) => {
    // The commands are our own, from sprayers.ts.
    void obey(JSON.parse(line) as SprayerCommand).then((answer) => {
      process.stdout.write(`${JSON.stringify(answer ?? null)}\n`);
    });
  })
  .on('close', () => process.exit(0));
