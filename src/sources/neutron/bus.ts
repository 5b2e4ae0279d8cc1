/**
 * Hints from Neutron's broker (RabbitMQ, AMQP 0-9-1). We only listen: to what Neutron pushes to its own agents, and to its notifications,
 * whichever come. Every queue is our own and ends with the connection.
 */
import { setTimeout as wait } from 'node:timers/promises';
import { connect, type ChannelModel, type ConsumeMessage } from 'amqplib';
import { Backoff } from '../../../agent/backoff.js';
import { spread } from '../../../agent/clock.js';
import { Follow } from '../follow.js';
import type { HintGiver, HintListener } from './hints.js';
import { hintsOf } from './messages.js';
import type { BrokerAddress } from './transport.js';

/**
 * Versions of versioned objects in use, by the last part of `1.X`: Neutron pushes each as the oldest and the newest of its agents know it, to exchanges
 * named after these (`resource_type_versioned_topic`). Of Neutron 18 (2021) to the next few of 2026.
 */
const VERSIONS: Readonly<Record<string, { readonly first: number; readonly last: number }>> = {
  Port: { first: 5, last: 12 },
  SecurityGroup: { first: 2, last: 8 },
  SecurityGroupRule: { first: 0, last: 5 },
  AddressGroup: { first: 0, last: 4 },
};
/** As `fanout_send` of oslo.messaging's driver declares them: who declares one otherwise is refused. */
const FANOUT = { durable: false, autoDelete: true };
/** Where notifications are published: `control_exchange` and `topics` of Neutron's configuration, as they are unless set. */
const NOTIFICATIONS = { exchange: 'neutron', topic: 'notifications.info' };
/** Between two looks whether it is there, in milliseconds: each one that it is not is a line in the broker's log. */
const LOOK_MS = { first: 1000, most: 60_000 };

/** Seconds between signs of life of the connection; twice as long without one ends it. */
const HEARTBEAT = 10;
/** For a connection to be made. */
const CONNECTING_MS = 10_000;

export class Bus implements HintGiver {
  #listener: HintListener | undefined;
  #tries = 0;
  readonly #follow = new Follow(
    async (signal) => this.#session(signal),
    (reason) => this.#listener?.down(`the broker: ${reason}`),
    // The connection has signs of life of its own.
    null,
  );

  /** @param addresses read with each connection. @throws Error with one line */
  constructor(private readonly addresses: () => readonly BrokerAddress[]) {}

  start(listener: HintListener): void {
    this.#listener = listener;
    this.#follow.start();
  }

  stop(): void {
    this.#listener = undefined;
    this.#follow.stop();
  }

  async #session(signal: AbortSignal): Promise<void> {
    const addresses = this.addresses();
    const address = addresses[this.#tries++ % addresses.length];
    if (address === undefined) throw new Error('no address');
    const connection = await connectTo(address).catch((error: unknown) => {
      if (isRefusal(error)) this.#follow.heard();
      throw error;
    });
    this.#follow.heard();
    const over = new AbortController();
    let fail: (error: Error) => void = () => undefined;
    const ended = new Promise<never>((_, reject) => {
      fail = reject;
    });
    // Whoever waits for it hears of it below.
    ended.catch(() => undefined);
    connection.on('error', fail);
    connection.on('close', (error) => {
      fail(error ?? new Error('the connection was closed'));
    });
    signal.addEventListener('abort', () => {
      fail(new Error('stopped'));
    });
    try {
      const queue = await Promise.race([this.#listen(connection, fail), ended]);
      const isNotified = await Promise.race([bindNotifications(connection, queue), ended]);
      signal.throwIfAborted();
      this.#follow.well();
      this.#listener?.up();
      if (!isNotified) void this.#awaitNotifications(connection, queue, over.signal);
      await ended;
    } finally {
      over.abort();
      await connection.close().catch(() => undefined);
    }
  }

  /** @returns the queue */
  async #listen(connection: ChannelModel, fail: (error: Error) => void): Promise<string> {
    const channel = await connection.createChannel();
    channel.on('error', fail);
    const { queue } = await channel.assertQueue('', { exclusive: true, durable: false, autoDelete: true });
    for (const [kind, { first, last }] of Object.entries(VERSIONS)) {
      for (let version = first; version <= last; version++) {
        const exchange = `neutron-vo-${kind}-1.${version.toString()}_fanout`;
        await channel.assertExchange(exchange, 'fanout', FANOUT);
        await channel.bindQueue(queue, exchange, '');
      }
    }
    const take = (message: ConsumeMessage | null): void => {
      if (message === null) return fail(new Error('the broker took the queue away'));
      const hints = hintsOf(message.content.toString());
      if (hints.length > 0) this.#listener?.hint(hints);
    };
    await channel.consume(queue, take, { noAck: true });
    return queue;
  }

  /** A broker that began anew has hosts sooner than it has Neutron. What was published before it is heard is lost to us. */
  async #awaitNotifications(connection: ChannelModel, queue: string, over: AbortSignal): Promise<void> {
    const backoff = new Backoff(LOOK_MS);
    try {
      do await wait(spread(backoff.take(), 0.5), undefined, { signal: over });
      while (!(await bindNotifications(connection, queue)));
      over.throwIfAborted();
    } catch {
      // The session is over, and said to be: the next one looks itself.
      return;
    }
    this.#listener?.up();
  }
}

/**
 * Their exchange is Neutron's, made as its configuration says: where it is not there yet, nothing is published on it.
 * @returns whether it is there, and heard
 */
async function bindNotifications(connection: ChannelModel, queue: string): Promise<boolean> {
  try {
    const channel = await connection.createChannel();
    // A refusal ends the channel, and is told there, too.
    channel.on('error', () => undefined);
    await channel.bindQueue(queue, NOTIFICATIONS.exchange, NOTIFICATIONS.topic);
    return true;
  } catch {
    return false;
  }
}

/** Who refuses a login is there. */
function isRefusal(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('Handshake terminated by server');
}

async function connectTo({ isTls, ...address }: BrokerAddress): Promise<ChannelModel> {
  return connect(
    { protocol: isTls ? 'amqps' : 'amqp', heartbeat: HEARTBEAT, ...address },
    { timeout: CONNECTING_MS, servername: address.hostname },
  );
}
