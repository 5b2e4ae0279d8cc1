/** `portcullis baseline`: close every managed device until rules are loaded. */
import type { CommandModule } from 'yargs';
import { DEFAULT_OPTIONS } from '../../../compiler/options.js';
import { printLine, say } from '../output.js';
import { datapathOption, devicePrefixesOf } from '../topology-options.js';

interface BaselineArguments {
  readonly 'device-prefix': readonly string[];
  readonly 'dry-run': boolean;
}

export const baselineCommand: CommandModule<object, BaselineArguments> = {
  command: 'baseline',
  describe: 'close every managed device, for the time before rules are loaded',
  builder: (yargs) =>
    yargs
      .options({
        'device-prefix': datapathOption['device-prefix'],
        'dry-run': { type: 'boolean', default: false, describe: 'print the rules and touch nothing' },
      })
      .example('$0 baseline', 'at boot, before the network; does nothing where rules are loaded already'),
  handler: async (args) => {
    const { baselineTables } = await import('../../../compiler/baseline.js');
    const devicePrefixes = devicePrefixesOf(args['device-prefix']);
    const tables = baselineTables({ ...DEFAULT_OPTIONS, devicePrefixes });
    if (args['dry-run']) {
      const { printTables } = await import('../../../compiler/nftables/text.js');
      printLine(printTables(tables).trimEnd());
      return;
    }
    const { loadBaseline } = await import('../../../agent/index.js');
    say(
      (await loadBaseline(tables))
        ? `closed: no device named ${devicePrefixes.map((prefix) => `${prefix}*`).join(' or ')} sends or receives until rules are loaded`
        : 'rules of ours are loaded already and close unknown devices: nothing was changed',
    );
  },
};
