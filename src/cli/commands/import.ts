/** `portcullis import`: fills a store from a topology document, or from a live Neutron. */
import type { CommandModule } from 'yargs';
import { CommandError } from '../errors.js';
import { EXIT } from '../exit-codes.js';
import { say } from '../output.js';
import { etcdOptions, openStore, type EtcdArguments } from '../store-options.js';
import { readTokenFile } from '../token-file.js';
import { topologyOption } from '../topology-options.js';

interface Arguments extends EtcdArguments {
  readonly store: string;
  readonly topology: readonly string[] | undefined;
  readonly neutron: string | undefined;
  readonly auth: 'keystone' | undefined;
  readonly 'os-cloud': string | undefined;
  readonly 'token-file': string | undefined;
  readonly 'skip-invalid': boolean;
}

export const importCommand: CommandModule<object, Arguments> = {
  command: 'import',
  describe: 'fill a store from a topology document or a live Neutron',
  builder: (yargs) =>
    yargs
      .options({
        store: {
          type: 'string',
          demandOption: true,
          requiresArg: true,
          describe: 'folder of the store, made if it is not there; or etcd:URL',
        },
        ...etcdOptions,
        topology: { ...topologyOption.topology, demandOption: false },
        neutron: { type: 'string', requiresArg: true, describe: 'URL of a Neutron, as the catalog has it' },
        auth: {
          choices: ['keystone'] as const,
          requiresArg: true,
          describe: 'log in as the OS_* variables say, as the openstack client does; the catalog names the Neutron',
        },
        'os-cloud': {
          type: 'string',
          requiresArg: true,
          describe: 'log in as a cloud of clouds.yaml says; the catalog names the Neutron',
        },
        'token-file': {
          type: 'string',
          requiresArg: true,
          describe: 'with --neutron: a file with an administrator’s token',
        },
      })
      .option('skip-invalid', {
        type: 'boolean',
        default: false,
        describe: 'leave out, and name, what cannot be used',
      })
      .example('$0 import --store /var/lib/portcullis -t backup.json', 'what `export` wrote')
      .example(
        '$0 import --store /var/lib/portcullis --neutron http://controller:9696 --token-file t',
        'from OpenStack',
      )
      .example('$0 import --store /var/lib/portcullis --os-cloud admin', 'from the cloud that clouds.yaml names so'),
  handler: async (args) => {
    const { ImportError, importRecords, neutronDocument, StoreError, recordsOf } = await import('../../api/index.js');
    const { LoginError } = await import('../../openstack/login.js');
    const isLogin = args.auth !== undefined || args['os-cloud'] !== undefined;
    if ((args.topology === undefined) === (args.neutron === undefined && !isLogin)) {
      throw new CommandError(
        EXIT.usage,
        '--topology, --neutron, --auth and --os-cloud: valid is a topology, or a Neutron',
      );
    }
    if (isLogin && args['token-file'] !== undefined) {
      throw new CommandError(EXIT.usage, '--token-file: not with --auth or --os-cloud, which get a token');
    }
    try {
      const documents =
        args.topology === undefined
          ? [await neutronDocument(...(isLogin ? await loggedIn(args) : withToken(args)))]
          : (await Promise.all(args.topology.map(documentsAt))).flat();
      const { records, leftOut } = recordsOf(documents, args['skip-invalid']);
      for (const line of leftOut) say(`left out: ${line}`);
      const count = await importRecords(await openStore(args.store, args), records);
      say(`imported ${count.toString()} objects into ${args.store}`);
    } catch (error) {
      if (error instanceof ImportError || error instanceof StoreError || error instanceof LoginError) {
        throw new CommandError(EXIT.invalidInput, error.message);
      }
      throw error;
    }
  },
};

type NeutronAndToken = readonly [url: string, token: string | undefined];

function withToken(args: Arguments): NeutronAndToken {
  return [args.neutron ?? '', readTokenFile('--token-file', args['token-file'])];
}

/** @throws LoginError, CommandError */
async function loggedIn(args: Arguments): Promise<NeutronAndToken> {
  const { cloudNamed, cloudOfEnvironment, logIn } = await import('../../openstack/login.js');
  const cloud = args['os-cloud'];
  const { token, networkUrl } = await logIn(cloud === undefined ? cloudOfEnvironment() : cloudNamed(cloud));
  const url = args.neutron ?? networkUrl;
  if (url === undefined) {
    throw new CommandError(EXIT.invalidInput, 'the catalog names no network service: valid is --neutron URL');
  }
  return [url, token];
}

async function documentsAt(path: string): Promise<readonly { readonly file: string; readonly content: unknown }[]> {
  const { readTopologyPath } = await import('../../sources/file/index.js');
  const { documents, problems } = await readTopologyPath(path);
  const [first] = problems;
  if (first !== undefined) throw new CommandError(EXIT.invalidInput, `${first.file}: ${first.message}`);
  return documents;
}
