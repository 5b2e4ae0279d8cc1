/** `portcullis import`: fills a store from a topology document, or from a live Neutron. */
import type { CommandModule } from 'yargs';
import { CommandError } from '../errors.js';
import { EXIT } from '../exit-codes.js';
import { say } from '../output.js';
import { readTokenFile } from '../token-file.js';

interface Arguments {
  readonly store: string;
  readonly topology: string | undefined;
  readonly neutron: string | undefined;
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
          describe: 'folder of the store; made if it is not there',
        },
        topology: {
          alias: 't',
          type: 'string',
          requiresArg: true,
          describe: 'a file, a folder, or - for standard input',
        },
        neutron: { type: 'string', requiresArg: true, describe: 'URL of a Neutron, as the catalog has it' },
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
      ),
  handler: async (args) => {
    const { ImportError, importRecords, LmdbStore, neutronDocument, StoreError, usableRecordsOf } =
      await import('../../api/index.js');
    if ((args.topology === undefined) === (args.neutron === undefined)) {
      throw new CommandError(EXIT.usage, '--topology and --neutron: valid is one of them');
    }
    try {
      const documents =
        args.neutron === undefined
          ? await documentsAt(args.topology ?? '')
          : [await neutronDocument(args.neutron, readTokenFile('--token-file', args['token-file']))];
      const { records, leftOut } = usableRecordsOf(documents, args['skip-invalid']);
      for (const line of leftOut) say(`left out: ${line}`);
      const count = await importRecords(await LmdbStore.open(args.store), records);
      say(`imported ${count.toString()} objects into ${args.store}`);
    } catch (error) {
      if (error instanceof ImportError || error instanceof StoreError) {
        throw new CommandError(EXIT.invalidInput, error.message);
      }
      throw error;
    }
  },
};

async function documentsAt(path: string): Promise<readonly { readonly file: string; readonly content: unknown }[]> {
  const { readTopologyPath } = await import('../../sources/file/index.js');
  const { documents, problems } = await readTopologyPath(path);
  const [first] = problems;
  if (first !== undefined) throw new CommandError(EXIT.invalidInput, `${first.file}: ${first.message}`);
  return documents;
}
