/** Options of whatever runs the API: `api`, and `agent --api`. */
import { readFileSync } from 'node:fs';
import type { Logger } from 'pino';
import type { Options } from 'yargs';
import type { Api } from '../api/index.js';
import { CommandError } from './errors.js';
import { EXIT } from './exit-codes.js';
import { isLoopback, listenAddress } from './listen-address.js';
import { logLevelOption, type LogLevel } from './logger.js';
import { etcdOptions, openStore, type EtcdArguments } from './store-options.js';
import { readTokenFile } from './token-file.js';
import { version } from './version.js';

export interface ApiArguments extends EtcdArguments {
  readonly store: string | undefined;
  readonly auth: string;
  readonly 'tls-cert': string | undefined;
  readonly 'tls-key': string | undefined;
  readonly 'agent-token': string | undefined;
  readonly rate: number;
  readonly 'token-cache': number;
}

export const apiOptions = {
  store: {
    type: 'string',
    requiresArg: true,
    describe: 'folder of the embedded store, made if it is not there; or etcd:https://HOST:PORT[,…][/PREFIX]',
  },
  ...etcdOptions,
  auth: {
    type: 'string',
    default: 'none',
    requiresArg: true,
    describe: 'who may ask: none (loopback only), tokens:FILE, or keystone:URL',
  },
  'tls-cert': { type: 'string', requiresArg: true, describe: 'certificate and chain, PEM' },
  'tls-key': { type: 'string', requiresArg: true, describe: 'its key, PEM' },
  'agent-token': {
    type: 'string',
    requiresArg: true,
    describe: 'a file with the token by which agents read the topology (16 characters or more)',
  },
  'token-cache': {
    type: 'number',
    default: 300,
    requiresArg: true,
    describe: 'with --auth keystone: seconds for which a validated token is believed, at most',
  },
  rate: { type: 'number', default: 1000, requiresArg: true, describe: 'requests of one client in a second, at most' },
} as const satisfies Record<string, Options>;

/** What {@link apiCommandOptions} gives. */
export interface ApiCommandArguments extends ApiArguments {
  readonly listen: string;
  readonly 'compute-host': string | undefined;
  readonly 'log-level': LogLevel;
}

/** Options of `api`, and so the keys of its section in the configuration file. */
export const apiCommandOptions = {
  listen: {
    type: 'string',
    default: '127.0.0.1:9696',
    requiresArg: true,
    describe: 'HOST:PORT, [IPV6]:PORT or unix:/PATH',
  },
  ...apiOptions,
  'compute-host': {
    type: 'string',
    requiresArg: true,
    describe: 'the host that new servers are bound to; without it each must say',
  },
  ...logLevelOption,
} as const satisfies Record<string, Options>;

/** Opens the API. @param computeHost where servers go that do not say. @throws CommandError */
export async function openApi(
  listen: string,
  option: string,
  args: ApiArguments,
  computeHost: string | undefined,
  log: Logger,
): Promise<Api> {
  const address = listenAddress(option, listen);
  if (args.auth === 'none' && !isLoopback(address)) {
    throw new CommandError(
      EXIT.usage,
      `--auth none: only with a loopback address or a unix socket, and ${listen} is none: valid with others are tokens:FILE and keystone:URL`,
    );
  }
  if (args.store === undefined) throw new CommandError(EXIT.usage, '--store: missing: a folder, or etcd:URL');
  if (!(args.rate >= 1))
    throw new CommandError(EXIT.usage, `--rate: ${args.rate.toString()} is not a number of 1 or more`);
  if (!(args['token-cache'] >= 0))
    throw new CommandError(EXIT.usage, '--token-cache: valid is a number of seconds, 0 or more');
  const tls = readTls(args);
  const { Api, StoreError } = await import('../api/index.js');
  const who = await authentication(args.auth, args['token-cache']);
  try {
    return await Api.open({
      version: version(),
      listen: address,
      store: await openStore(args.store, args, 'serve', (trouble) => {
        if (trouble === undefined) log.info({ id: 'store-well' }, 'the store answers again');
        else log.error({ id: 'store-away', reason: trouble }, 'the store does not answer: nothing can be changed');
      }),
      ...who,
      agentToken: agentToken(args),
      tls,
      computeHost,
      rate: args.rate,
      log,
    });
  } catch (error) {
    if (error instanceof StoreError) throw new CommandError(EXIT.invalidInput, error.message);
    throw error;
  }
}

/** @param option that named the address. @returns the address. @throws CommandError; then the API is closed */
export async function listening(api: Api, option: string): Promise<string> {
  const { ListenError } = await import('../api/index.js');
  try {
    return await api.listen();
  } catch (error) {
    await api.close();
    throw error instanceof ListenError ? new CommandError(EXIT.invalidInput, `${option}: ${error.message}`) : error;
  }
}

async function authentication(
  text: string,
  cacheSeconds: number,
): Promise<Pick<Parameters<typeof Api.open>[0], 'authenticator' | 'tokens'>> {
  const { DirectoryError, Keystone, noAuthentication, readDirectory, Tokens } = await import('../api/index.js');
  const [scheme = '', ...rest] = text.split(':');
  const argument = rest.join(':');
  if (text === 'none') return { authenticator: noAuthentication, tokens: undefined };
  if (scheme === 'tokens' && argument !== '') {
    try {
      const tokens = new Tokens(readDirectory(argument));
      return { authenticator: tokens, tokens };
    } catch (error) {
      if (error instanceof DirectoryError) throw new CommandError(EXIT.invalidInput, error.message);
      throw error;
    }
  }
  if (scheme === 'keystone' && /^https?:\/\/[^/]+/.test(argument)) {
    return { authenticator: new Keystone(argument, cacheSeconds), tokens: undefined };
  }
  throw new CommandError(EXIT.usage, `--auth: ${JSON.stringify(text)}: valid is none, tokens:FILE or keystone:URL`);
}

function agentToken(args: ApiArguments): string | undefined {
  const token = readTokenFile('--agent-token', args['agent-token']);
  if (token !== undefined && token.length < 16) {
    throw new CommandError(EXIT.invalidInput, '--agent-token: the token is shorter than 16 characters');
  }
  return token;
}

function readTls(args: ApiArguments): { readonly cert: Buffer; readonly key: Buffer } | undefined {
  const [cert, key] = [args['tls-cert'], args['tls-key']];
  if (cert === undefined && key === undefined) return undefined;
  if (cert === undefined || key === undefined)
    throw new CommandError(EXIT.usage, '--tls-cert and --tls-key: both or none');
  const read = (option: string, path: string): Buffer => {
    try {
      return readFileSync(path);
    } catch (error) {
      throw new CommandError(EXIT.invalidInput, `${option}: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
  return { cert: read('--tls-cert', cert), key: read('--tls-key', key) };
}
