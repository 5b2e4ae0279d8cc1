/** `portcullis backup` and `portcullis restore`: everything that the control API holds, in one file. */
import { randomUUID } from 'node:crypto';
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import type { CommandModule } from 'yargs';
import type { Place } from '../../api/index.js';
import { CommandError } from '../errors.js';
import { EXIT } from '../exit-codes.js';
import { say } from '../output.js';
import { etcdOptions, openStore, type EtcdArguments } from '../store-options.js';
import { readTokenFile } from '../token-file.js';

interface PlaceArguments extends EtcdArguments {
  readonly store: string | undefined;
  readonly api: string | undefined;
  readonly 'token-file': string | undefined;
}

interface BackupArguments extends PlaceArguments {
  readonly file: string;
}

interface RestoreArguments extends BackupArguments {
  readonly replace: boolean;
}

const placeOptions = {
  store: { type: 'string', requiresArg: true, describe: 'folder of a store, or etcd:URL' },
  ...etcdOptions,
  api: { type: 'string', requiresArg: true, describe: 'URL of a running API' },
  'token-file': { type: 'string', requiresArg: true, describe: 'with --api: a file with an administrator’s token' },
} as const;

const fileOption = { type: 'string', demandOption: true, describe: 'the backup' } as const;

export const backupCommand: CommandModule<object, BackupArguments> = {
  command: 'backup <file>',
  describe: 'write everything that a store or a running API holds to one file',
  builder: (yargs) =>
    yargs
      .positional('file', fileOption)
      .options(placeOptions)
      .example('$0 backup --store /var/lib/portcullis/store b.json', 'the store may be in use'),
  handler: async (args) => {
    const content = await withPlace(args, 'read', async (place) => {
      const { backup } = await import('../../api/index.js');
      return backup(place);
    });
    writeWhole(args.file, `${JSON.stringify(content)}\n`);
    say(`wrote ${args.file}`);
  },
};

export const restoreCommand: CommandModule<object, RestoreArguments> = {
  command: 'restore <file>',
  describe: 'make a store or a running API hold what a backup holds',
  builder: (yargs) =>
    yargs
      .positional('file', fileOption)
      .options({ ...placeOptions, replace: { type: 'boolean', default: false, describe: 'what is there may go' } })
      .example('$0 restore --store /var/lib/portcullis/new b.json', 'to a new store')
      .example('$0 restore --api http://127.0.0.1:9696 --replace b.json', 'while the API is at work, in one change'),
  handler: async (args) => {
    let content: unknown;
    try {
      content = JSON.parse(readFileSync(args.file, 'utf8'));
    } catch (error) {
      throw new CommandError(
        EXIT.invalidInput,
        `${args.file}: ${error instanceof Error ? error.message : String(error)}`,
      );
    }
    const count = await withPlace(args, 'serve', async (place) => {
      const { restoreBackup } = await import('../../api/index.js');
      return restoreBackup(place, content, args.replace);
    });
    say(`restored ${count.toString()} objects`);
  },
};

async function withPlace<T>(
  args: PlaceArguments,
  use: 'read' | 'serve',
  work: (place: Place) => Promise<T>,
): Promise<T> {
  const { ImportError, StoreError } = await import('../../api/index.js');
  const { store, api } = args;
  if ((store === undefined) === (api === undefined))
    throw new CommandError(EXIT.usage, '--store and --api: valid is one of them');
  try {
    if (api !== undefined)
      return await work({ kind: 'api', url: api, token: readTokenFile('--token-file', args['token-file']) });
    return await work({ kind: 'store', store: await openStore(store ?? '', args, use) });
  } catch (error) {
    if (error instanceof StoreError || error instanceof ImportError)
      throw new CommandError(EXIT.invalidInput, error.message);
    throw error;
  }
}

/** The whole file or none, for its owner alone: it holds all projects' rules. */
function writeWhole(path: string, text: string): void {
  // Nobody can have put anything in its way, nor another backup be at work there: a file that is there keeps its mode, and a link leads elsewhere.
  const next = `${path}.${randomUUID()}.new`;
  try {
    // As root it would take the place of /dev/null.
    if (statSync(path, { throwIfNoEntry: false })?.isFile() === false) throw new Error('is there and is no file');
    const file = openSync(next, 'wx', 0o600);
    writeFileSync(file, text);
    fsyncSync(file);
    closeSync(file);
    renameSync(next, path);
  } catch (error) {
    // Half of it would take the room that the disk lacks.
    rmSync(next, { force: true });
    throw new CommandError(EXIT.inputOutput, `${path}: ${error instanceof Error ? error.message : String(error)}`);
  }
}
