/** Runs in a container that is a host: plugs ports as namespaces, and connects from them. JSON lines in and out. */
import { createInterface } from 'node:readline';
import { Guests, type Target } from '../../../src/cli/demo/guests.js';
import { Network, run } from '../../../src/cli/demo/network.js';
import { parseAddress } from '../../../compiler/model/index.js';

export type Command =
  | {
      readonly do: 'plug';
      readonly id: string;
      readonly device: string;
      readonly mac: string;
      readonly ips: readonly string[];
    }
  | { readonly do: 'connect'; readonly attempts: readonly Attempt[] };

/** To connect from a port's guest. */
export interface Attempt {
  readonly id: string;
  readonly target: Target;
}

const network = new Network('pcguest-', 'here');
const guests = new Guests(process.argv.slice(2).map(Number));

async function obey(command: Command): Promise<unknown> {
  switch (command.do) {
    case 'plug': {
      const { id, device, mac, ips } = command;
      const fixedIps = ips.map((text) => {
        const address = parseAddress(text);
        if (address === undefined) throw new Error(`not an address: ${text}`);
        return address;
      });
      await guests.start(id, network.plug({ id, device, mac, fixedIps }));
      return null;
    }
    case 'connect':
      return connect(command.attempts);
  }
}

/** @returns for each attempt whether it connected */
async function connect(attempts: readonly Attempt[]): Promise<readonly boolean[]> {
  const made = new Map<Attempt, boolean>();
  const ids = new Set(attempts.map(({ id }) => id));
  await Promise.all(
    [...ids].map(async (id) => {
      const own = attempts.filter((attempt) => attempt.id === id);
      const answers = await guests.connect(
        id,
        own.map(({ target }) => target),
      );
      own.forEach((attempt, index) => made.set(attempt, answers[index] === true));
    }),
  );
  return attempts.map((attempt) => made.get(attempt) === true);
}

run('ip', ['link', 'set', 'lo', 'up']);
process.stdout.write('null\n');
createInterface({ input: process.stdin })
  .on('line', (line) => {
    void obey(JSON.parse(line) as Command).then(
      (answer) => process.stdout.write(`${JSON.stringify(answer)}\n`),
      (error: unknown) => {
        process.stderr.write(`${String(error)}\n`);
        process.exit(1);
      },
    );
  })
  .on('close', () => {
    guests.end();
    network.remove();
    process.exit(0);
  });
