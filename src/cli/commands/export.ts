/** `portcullis export`: a topology document, as `compile` and `import` read it, of a store or of a running API. */
import type { CommandModule } from 'yargs';
import { CommandError } from '../errors.js';
import { EXIT } from '../exit-codes.js';
import { printLine } from '../output.js';
import { etcdOptions, openStore, type EtcdArguments } from '../store-options.js';
import { readTokenFile } from '../token-file.js';

interface Arguments extends EtcdArguments {
  readonly store: string | undefined;
  readonly api: string | undefined;
  readonly 'token-file': string | undefined;
}

export const exportCommand: CommandModule<object, Arguments> = {
  command: 'export',
  describe: 'print the topology of a store or of a running API',
  builder: (yargs) =>
    yargs
      .options({
        store: { type: 'string', requiresArg: true, describe: 'folder of a store, or etcd:URL; it may be in use' },
        ...etcdOptions,
        api: { type: 'string', requiresArg: true, describe: 'URL of an API' },
        'token-file': {
          type: 'string',
          requiresArg: true,
          describe: 'with --api: a file with an administrator’s token',
        },
      })
      .example('$0 export --store /var/lib/portcullis > backup.json', 'back up, while the API is at work')
      .example(
        '$0 export --api http://127.0.0.1:9696 | portcullis compile --dry-run -t - --host h1',
        'what a host should have',
      ),
  handler: async (args) => {
    const { apiDocument, storeDocument, StoreError, ImportError } = await import('../../api/index.js');
    try {
      if (args.store !== undefined && args.api === undefined) {
        const store = await openStore(args.store, args, 'read');
        printLine(JSON.stringify(await storeDocument(store), null, 2));
        await store.close();
      } else if (args.api !== undefined && args.store === undefined) {
        printLine(
          JSON.stringify(await apiDocument(args.api, readTokenFile('--token-file', args['token-file'])), null, 2),
        );
      } else throw new CommandError(EXIT.usage, '--store and --api: valid is one of them');
    } catch (error) {
      if (error instanceof StoreError || error instanceof ImportError) {
        throw new CommandError(EXIT.invalidInput, error.message);
      }
      throw error;
    }
  },
};
