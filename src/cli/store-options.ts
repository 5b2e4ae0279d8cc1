/** Options of whatever opens a store: a folder on this machine, or etcd. */
import type { Store } from '../api/index.js';
import type { EtcdAddress } from '../etcd/address.js';
import type { EtcdCredentials } from '../etcd/client.js';
import { CommandError } from './errors.js';
import { EXIT } from './exit-codes.js';

export interface EtcdArguments {
  readonly 'etcd-ca': string | undefined;
  readonly 'etcd-cert': string | undefined;
  readonly 'etcd-key': string | undefined;
  readonly 'etcd-user': string | undefined;
  readonly 'etcd-password': string | undefined;
}

export const etcdOptions = {
  'etcd-ca': {
    type: 'string',
    requiresArg: true,
    describe: 'who signed etcd’s certificates, PEM; else whom the system trusts',
  },
  'etcd-cert': { type: 'string', requiresArg: true, describe: 'certificate to show etcd, PEM' },
  'etcd-key': { type: 'string', requiresArg: true, describe: 'its key, PEM' },
  'etcd-user': { type: 'string', requiresArg: true, describe: 'etcd’s user' },
  'etcd-password': { type: 'string', requiresArg: true, describe: 'a file with its password' },
} as const;

/** @param option that named it. @throws CommandError */
export async function etcdOf(
  option: string,
  text: string,
  args: EtcdArguments,
): Promise<{ readonly address: EtcdAddress; readonly given: EtcdCredentials }> {
  const pair = (one: keyof EtcdArguments, other: keyof EtcdArguments): readonly [string, string] | undefined => {
    const [first, second] = [args[one], args[other]];
    if (first === undefined && second === undefined) return undefined;
    if (first === undefined || second === undefined) {
      throw new CommandError(EXIT.usage, `--${one} and --${other}: both or none`);
    }
    return [first, second];
  };
  const [certificate, user] = [pair('etcd-cert', 'etcd-key'), pair('etcd-user', 'etcd-password')];
  const caFile = args['etcd-ca'];
  const given = {
    ...(caFile === undefined ? {} : { caFile }),
    ...(certificate === undefined ? {} : { certificate: { certFile: certificate[0], keyFile: certificate[1] } }),
    ...(user === undefined ? {} : { user: { name: user[0], passwordFile: user[1] } }),
  };
  const { EtcdAddressError, parseEtcdAddress } = await import('../etcd/address.js');
  try {
    return { address: parseEtcdAddress(text), given };
  } catch (error) {
    if (error instanceof EtcdAddressError) throw new CommandError(EXIT.usage, `${option}: ${error.message}`);
    throw error;
  }
}

/** @throws CommandError where an option of etcd's is given, and etcd is not used. */
export function refuseEtcdOptions(args: EtcdArguments): void {
  const named = Object.keys(etcdOptions).find((name) => args[name as keyof EtcdArguments] !== undefined);
  if (named !== undefined) throw new CommandError(EXIT.usage, `--${named}: only with a store in etcd`);
}

/**
 * @param text a folder, which is made if it is not there, or `etcd:URL`.
 * @param report is told when etcd cannot be reached, and when it can again.
 * @param use of a folder: `serve` takes its lock, `read` does not. etcd is served by as many as come.
 * @throws CommandError, StoreError
 */
export async function openStore(
  text: string,
  args: EtcdArguments,
  use: 'serve' | 'read' = 'serve',
  report?: (trouble: string | undefined) => void,
): Promise<Store> {
  const { isEtcdAddress } = await import('../etcd/address.js');
  if (!isEtcdAddress(text)) {
    refuseEtcdOptions(args);
    const { LmdbStore } = await import('../api/index.js');
    return LmdbStore.open(text, use);
  }
  const { address, given } = await etcdOf('--store', text, args);
  // Whoever has no etcd does without its libraries.
  const { EtcdStore } = await import('../api/store/etcd.js');
  return EtcdStore.open(address, given, report);
}
