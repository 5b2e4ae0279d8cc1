/** `portcullis doctor`: what it takes. What it does is loaded when it is done. */
import type { CommandModule } from 'yargs';
import { DATAPATHS } from '../../../compiler/datapath.js';
import { socketOption } from '../socket.js';
import { etcdOptions } from '../store-options.js';
import { datapathOption } from '../topology-options.js';
import type { DoctorArguments } from './doctor.js';

export const doctorCommand: CommandModule<object, DoctorArguments> = {
  command: 'doctor',
  describe: 'say what on this host stands in the way of enforcing, and what mends it; exit 0 when nothing does',
  builder: (yargs) =>
    yargs
      .options({
        ...socketOption,
        json: { type: 'boolean', default: false, describe: 'the findings as JSON' },
        ...datapathOption,
        datapath: {
          choices: DATAPATHS,
          describe: 'how taps reach the host; else as the agent has it, or as the taps that are here show',
        },
        source: {
          type: 'string',
          requiresArg: true,
          describe:
            'compare the clock with that of this source, as for the agent: api:URL or etcd:URL; else with the agent’s',
        },
        ...etcdOptions,
      })
      .example('$0 doctor', 'as root, before the agent is started and whenever something is odd')
      .example('$0 doctor --json', 'for a program'),
  handler: async (args) => (await import('./doctor.js')).look(args),
};
