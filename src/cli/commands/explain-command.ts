/** `portcullis explain`: what it takes. What it does is loaded when it is done. */
import type { CommandModule } from 'yargs';
import type { Family } from '../../../compiler/model/index.js';
import { skipInvalidOption } from '../topology-options.js';
import { topologySourceOptions } from '../topology-source.js';
import type { ExplainArguments } from './explain.js';

/** Not the model's list: addresses are not needed to name families. */
const FAMILY_NAMES = ['IPv4', 'IPv6'] as const satisfies readonly Family[];

const end = { type: 'string', demandOption: true, requiresArg: true } as const;
const numbers = { type: 'string', requiresArg: true } as const;

export const explainCommand: CommandModule<object, ExplainArguments> = {
  command: 'explain',
  describe: 'say whether a packet passes, or which of many, and which rule, or missing rule, decides',
  builder: (yargs) =>
    yargs
      .options({
        ...topologySourceOptions,
        from: { ...end, describe: 'sender: a port (id or name), an address, a prefix, or any' },
        to: { ...end, describe: 'receiver: a port (id or name), an address, a prefix, or any' },
        protocol: { ...end, describe: 'tcp, udp, icmp, ... or a number; several with commas; any' },
        'dst-port': { ...numbers, describe: 'destination port: 443, https, 1000-2000, several with commas, any' },
        'src-port': { ...numbers, describe: 'source port, likewise' },
        'icmp-type': { ...numbers, describe: 'ICMP type, likewise (echo request if absent)' },
        'icmp-code': { ...numbers, describe: 'ICMP code, likewise (0 if absent)' },
        family: {
          choices: FAMILY_NAMES,
          describe: 'only this family; both, where both ends have addresses, if absent',
        },
        state: {
          choices: ['new', 'established', 'related', 'unadmitted', 'invalid', 'revoked'] as const,
          default: 'new' as const,
          describe: 'what connection tracking says of the packet',
        },
        json: { type: 'boolean', default: false, describe: 'the explanation as JSON' },
        ...skipInvalidOption,
      })
      .example('$0 explain -t topology.yaml --from web-1 --to database-1 --protocol tcp --dst-port mysql', 'two ports')
      .example(
        '$0 explain -t topology.yaml --from any --to web-1 --protocol tcp,udp --dst-port 1-1023',
        'who reaches which of its services?',
      )
      .example('$0 explain --socket --from 10.0.0.0/8 --to web-1 --protocol any', 'of what the agent has in force'),
  handler: async (args) => (await import('./explain.js')).explainOnce(args),
};
