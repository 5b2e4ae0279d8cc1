/** What a real broker cannot be made to do at a wish. All else: `npm run conformance -- --suite source`. */
import { EventEmitter } from 'node:events';
import { beforeEach, expect, it, onTestFinished, vi } from 'vitest';
import { Bus } from '../../../src/sources/neutron/bus.js';
import { eventually } from '../../support/waiting.js';

/** A broker as far as the library shows it. */
const broker = vi.hoisted(() => ({
  /** When somebody wanted to connect. */
  tries: [] as number[],
  /** Refuses a login, or an exchange. */
  refusedLogin: undefined as string | undefined,
  refusedExchange: undefined as string | undefined,
  hasNotifications: true,
  bound: [] as string[],
}));

class Channel extends EventEmitter {
  assertQueue = async (): Promise<object> => Promise.resolve({ queue: 'q' });
  consume = async (): Promise<void> => Promise.resolve();

  async assertExchange(): Promise<void> {
    if (broker.refusedExchange !== undefined) return Promise.reject(new Error(broker.refusedExchange));
    return Promise.resolve();
  }

  async bindQueue(_queue: string, exchange: string): Promise<void> {
    if (exchange === 'neutron' && !broker.hasNotifications) return Promise.reject(new Error('404 (NOT-FOUND)'));
    broker.bound.push(exchange);
    return Promise.resolve();
  }
}

class Connection extends EventEmitter {
  createChannel = async (): Promise<Channel> => Promise.resolve(new Channel());
  close = async (): Promise<void> => Promise.resolve();
}

vi.mock('amqplib', () => ({
  connect: async (): Promise<Connection> => {
    broker.tries.push(performance.now());
    if (broker.refusedLogin !== undefined) return Promise.reject(new Error(broker.refusedLogin));
    return Promise.resolve(new Connection());
  },
}));

beforeEach(() => {
  Object.assign(broker, { tries: [], refusedLogin: undefined, refusedExchange: undefined, bound: [] });
  broker.hasNotifications = true;
});

function listening(): { readonly said: string[] } {
  const random = vi.spyOn(Math, 'random').mockReturnValue(0);
  const said: string[] = [];
  const address = { hostname: 'h', port: 1, username: 'u', password: 'p', vhost: '/', isTls: false };
  const bus = new Bus(() => [address]);
  onTestFinished(() => {
    bus.stop();
    random.mockRestore();
  });
  bus.start({
    hint: () => undefined,
    up: () => said.push('up'),
    down: (reason) => said.push(reason),
  });
  return { said };
}

it('notifications whose exchange comes later than the host are heard as soon as it is there, and what was missed is looked for', async () => {
  broker.hasNotifications = false;
  const { said } = listening();
  await eventually(() => said.join() === 'up');
  expect(broker.bound).not.toContain('neutron');
  broker.hasNotifications = true;
  await eventually(() => broker.bound.includes('neutron'));
  await eventually(() => said.join() === 'up,up');
  expect(broker.tries).toHaveLength(1);
});

it('notifications whose exchange is there are heard at once', async () => {
  const { said } = listening();
  await eventually(() => said.join() === 'up');
  expect(broker.bound).toContain('neutron');
});

it.each<[string, Partial<typeof broker>]>([
  ['refuses who he is', { refusedLogin: 'Handshake terminated by server: 403 (ACCESS-REFUSED)' }],
  ['refuses what he asks for', { refusedExchange: '406 (PRECONDITION-FAILED)' }],
])('a broker that %s is asked less and less', async (_what, refusal) => {
  Object.assign(broker, refusal);
  const { said } = listening();
  await eventually(() => broker.tries.length === 5);
  expect((broker.tries[4] ?? 0) - (broker.tries[3] ?? 0)).toBeGreaterThanOrEqual(990);
  expect(said).toHaveLength(1);
});
