/** `portcullis baseline`: close every managed device until rules are loaded. */
import type { CommandModule } from 'yargs';
import type { Table } from '../../../compiler/index.js';
import { DEFAULT_OPTIONS } from '../../../compiler/options.js';
import { asTyped, configOption, type ConfigArguments } from '../configuration/configured.js';
import { printLine, say } from '../output.js';
import { datapathOption, devicePrefixesOf } from '../topology-options.js';

interface BaselineArguments extends ConfigArguments {
  readonly 'device-prefix': readonly string[] | undefined;
  readonly 'dry-run': boolean;
}

export const baselineCommand: CommandModule<object, BaselineArguments> = {
  command: 'baseline',
  describe: 'close every managed device, for the time before rules are loaded',
  builder: (yargs) =>
    yargs
      .options({
        ...configOption,
        ...asTyped({ 'device-prefix': datapathOption['device-prefix'] }),
        'dry-run': { type: 'boolean', default: false, describe: 'print the rules and touch nothing' },
      })
      .example('$0 baseline', 'at boot, before the network; does nothing where rules are loaded already'),
  handler: async (args) => {
    const { devicePrefixes, trouble } = await prefixesToClose(args);
    if (!args['dry-run']) await close(devicePrefixes);
    if (trouble !== undefined) throw trouble;
    if (args['dry-run']) {
      const { printTables } = await import('../../../compiler/text.js');
      printLine(printTables(await tablesOf(devicePrefixes)).trimEnd());
    }
  },
};

interface ToClose {
  readonly devicePrefixes: readonly string[];
  /** Why these are not the ones that were meant. */
  readonly trouble?: Error;
}

/** The agent's, by its section of the file. Where the file says nothing that can be used, the usual ones are closed all the same. */
async function prefixesToClose(args: BaselineArguments): Promise<ToClose> {
  if (args['device-prefix'] !== undefined) return { devicePrefixes: devicePrefixesOf(args['device-prefix']) };
  const { devicePrefixes: usual } = DEFAULT_OPTIONS;
  try {
    const { readConfiguration } = await import('../configuration/read.js');
    const given = (await readConfiguration(args.config))?.sections.agent['device-prefix'];
    return { devicePrefixes: typeof given === 'object' ? devicePrefixesOf(given) : usual };
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    return { devicePrefixes: usual, trouble: error };
  }
}

async function tablesOf(devicePrefixes: readonly string[]): Promise<readonly Table[]> {
  const { baselineTables } = await import('../../../compiler/baseline.js');
  return baselineTables({ ...DEFAULT_OPTIONS, devicePrefixes });
}

async function close(devicePrefixes: readonly string[]): Promise<void> {
  const { KERNEL, loadBaseline } = await import('../../../agent/index.js');
  say(
    (await loadBaseline(KERNEL, await tablesOf(devicePrefixes)))
      ? `closed: no device named ${devicePrefixes.map((prefix) => `${prefix}*`).join(' or ')} sends or receives until rules are loaded`
      : 'rules of ours are loaded already and close unknown devices: nothing was changed',
  );
}
