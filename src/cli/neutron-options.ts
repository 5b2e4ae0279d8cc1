/** Options of an agent that follows a Neutron. */
import { readFileSync } from 'node:fs';
import type { HintGiver } from '../sources/neutron/hints.js';
import type { Source } from '../../compiler/model/index.js';
import { CommandError } from './errors.js';
import { EXIT } from './exit-codes.js';

export interface NeutronArguments {
  readonly 'neutron-bus': string | undefined;
  readonly 'neutron-poll': number | undefined;
}

export const neutronOptions = {
  'neutron-bus': {
    type: 'string',
    requiresArg: true,
    describe: 'with neutron:URL: a file with Neutron’s transport_url, to hear of changes from its broker',
  },
  'neutron-poll': {
    type: 'number',
    requiresArg: true,
    describe: 'with neutron:URL: seconds between questions what changed, while no broker tells (10)',
  },
} as const;

/** Seconds. */
const POLL = 10;

/** @param text `neutron:URL`, or `neutron:` for the one that the catalog names. @throws CommandError */
export async function neutronSource(text: string, args: NeutronArguments, host: string): Promise<Source> {
  const url = text.slice('neutron:'.length);
  if (url !== '' && !/^https?:\/\/[^/?#\s@]+[^?#\s]*$/.test(url)) {
    throw new CommandError(
      EXIT.usage,
      `--source: ${JSON.stringify(text)}: valid is neutron:URL (neutron:https://controller:9696), or neutron: for the one that the catalog names`,
    );
  }
  const seconds = args['neutron-poll'] ?? POLL;
  if (!(seconds >= 1 && seconds <= 3600)) {
    throw new CommandError(EXIT.usage, `--neutron-poll: ${seconds.toString()} is not a number of seconds (1-3600)`);
  }
  const { theCloud } = await import('../openstack/login.js');
  const { NeutronSource } = await import('../sources/neutron/index.js');
  return new NeutronSource({
    ...{ url: url === '' ? undefined : url, cloud: () => theCloud(), host, pollEvery: 1000 * seconds },
    hints: args['neutron-bus'] === undefined ? undefined : await busOf(args['neutron-bus']),
  });
}

/** @throws CommandError where an option of Neutron's is given, and it is not followed. */
export function refuseNeutronOptions(args: NeutronArguments): void {
  const named = Object.keys(neutronOptions).find((name) => args[name as keyof NeutronArguments] !== undefined);
  if (named !== undefined) throw new CommandError(EXIT.usage, `--${named}: only with --source neutron:URL`);
}

async function busOf(file: string): Promise<HintGiver> {
  const { parseTransportUrl } = await import('../sources/neutron/transport.js');
  const addresses = (): ReturnType<typeof parseTransportUrl> => parseTransportUrl(readFileSync(file, 'utf8'));
  try {
    addresses();
  } catch (error) {
    throw new CommandError(
      EXIT.usage,
      `--neutron-bus: ${file}: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
  const { Bus } = await import('../sources/neutron/bus.js');
  return new Bus(addresses);
}
