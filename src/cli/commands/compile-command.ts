/** `portcullis compile`: what it takes. What it does is loaded when it is done. */
import type { CommandModule } from 'yargs';
import { backendOption, datapathOption, hostOption, skipInvalidOption, topologyOption } from '../topology-options.js';
import type { CompileArguments } from './compile.js';

export const compileCommand: CommandModule<object, CompileArguments> = {
  command: 'compile',
  describe: 'print the rules of a topology (--dry-run), or load them in one transaction',
  builder: (yargs) =>
    yargs
      .options({
        ...topologyOption,
        ...hostOption,
        'dry-run': { type: 'boolean', default: false, describe: 'print the rules and touch nothing; needs no root' },
        port: {
          type: 'string',
          array: true,
          requiresArg: true,
          default: [] as readonly string[],
          describe: 'only the rules of this port (id or name), with --dry-run; may be repeated',
        },
        ...backendOption,
        part: {
          choices: ['ipset', 'iptables', 'ip6tables', 'nft'] as const,
          describe: 'with --dry-run --backend iptables: only what this program is to load',
        },
        ...datapathOption,
        format: {
          choices: ['text', 'json'] as const,
          default: 'text' as const,
          describe: 'nft text, or the libnftables JSON of the same rules, with --dry-run',
        },
        confirm: {
          type: 'number',
          requiresArg: true,
          describe: 'restore the former rules after this many seconds unless you say that the new ones are good',
        },
        ...skipInvalidOption,
        raw: {
          type: 'boolean',
          default: false,
          describe: 'on a terminal, too: what changes in the kernel instead of what changes for groups and ports',
        },
      })
      .example('$0 compile --dry-run -t examples/web-and-database.yaml', 'see what would be loaded')
      .example('$0 compile --dry-run -t topology.yaml --backend iptables --part ipset | ipset restore', 'sets first')
      .example(
        '$0 compile -t topology.yaml --host compute-1 --confirm 30',
        'load it; take it back if that locks you out',
      ),
  handler: async (args) => (await import('./compile.js')).compileOnce(args),
};
