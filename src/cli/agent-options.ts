/** Options of `agent`, and so the keys of its section in the configuration file. */
import type { Options } from 'yargs';
import { DATAPATHS, type Datapath } from '../../compiler/datapath.js';
import { apiOptions, type ApiArguments } from './api-options.js';
import { logLevelOption, type LogLevel } from './logger.js';
import { neutronOptions, type NeutronArguments } from './neutron-options.js';
import { socketOption } from './socket.js';
import {
  backendOption,
  datapathOption,
  hostOption,
  type BackendArguments,
  type DatapathArguments,
} from './topology-options.js';

/** What {@link agentOptions} gives. */
export interface AgentArguments
  extends BackendArguments, Omit<DatapathArguments, 'datapath'>, ApiArguments, NeutronArguments {
  readonly datapath: Datapath | typeof AUTO;
  readonly source: string | undefined;
  readonly 'source-token': string | undefined;
  readonly api: string | undefined;
  readonly host: string | undefined;
  readonly verify: number | undefined;
  readonly 'allow-shrink': boolean;
  readonly audit: boolean;
  readonly socket: string;
  readonly metrics: string | undefined;
  readonly 'log-level': LogLevel;
}

/** For `--datapath`. */
export const AUTO = 'auto';

export const agentOptions = {
  source: {
    type: 'string',
    requiresArg: true,
    describe:
      'where the topology comes from: file:PATH (a file or a folder), api:URL, etcd:https://HOST:PORT[,…][/PREFIX], or neutron:[URL]',
  },
  'source-token': {
    type: 'string',
    requiresArg: true,
    describe: 'with api:URL: a file with an administrator’s token',
  },
  ...neutronOptions,
  api: {
    type: 'string',
    requiresArg: true,
    describe: 'serve the control API here, and enforce what it holds: HOST:PORT',
  },
  ...apiOptions,
  ...hostOption,
  ...backendOption,
  ...datapathOption,
  datapath: {
    ...datapathOption.datapath,
    choices: [...DATAPATHS, AUTO] as const,
    describe: `${datapathOption.datapath.describe}; ${AUTO}: as the taps that are here show`,
  },
  audit: {
    type: 'boolean',
    default: false,
    describe: 'enforce nothing: what would be dropped passes and is counted',
  },
  ...socketOption,
  metrics: { type: 'string', requiresArg: true, describe: 'HOST:PORT on which Prometheus may ask' },
  verify: {
    type: 'number',
    requiresArg: true,
    describe: 'seconds between comparisons of everything with the kernel (3600; 60 with iptables)',
  },
  'allow-shrink': {
    type: 'boolean',
    default: false,
    describe: 'obey a topology from which all, or most, of this host’s ports have gone at once',
  },
  ...logLevelOption,
} as const satisfies Record<string, Options>;
