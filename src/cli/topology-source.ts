/** Where `explain` and others get a topology: files, a running API, or what an agent has in force. */
import type { Options } from 'yargs';
import type { Topology } from '../../compiler/model/index.js';
import { CommandError } from './errors.js';
import { EXIT } from './exit-codes.js';
import { askAgent, socketOption, understood } from './socket.js';
import { readTokenFile } from './token-file.js';
import { readTopology, topologyOption, usableTopology } from './topology-options.js';

export const topologySourceOptions = {
  topology: { ...topologyOption.topology, demandOption: false },
  api: { type: 'string', requiresArg: true, describe: 'in place of a file: URL of a running API' },
  'token-file': { type: 'string', requiresArg: true, describe: 'with --api: a file with an administrator’s token' },
  socket: {
    type: 'string',
    describe: `in place of a file: what the agent behind this socket has in force (${socketOption.socket.default})`,
  },
} as const satisfies Record<string, Options>;

export interface TopologySourceArguments {
  readonly topology: readonly string[] | undefined;
  readonly api: string | undefined;
  readonly 'token-file': string | undefined;
  readonly socket: string | undefined;
  readonly 'skip-invalid': boolean;
}

/** Of the one source that is named. @throws CommandError */
export async function topologyOf(args: TopologySourceArguments): Promise<Topology> {
  const { topology: paths, api, socket, 'token-file': tokenFile } = args;
  if ([paths, api, socket].filter((source) => source !== undefined).length !== 1) {
    throw new CommandError(EXIT.usage, '--topology (-t), --api and --socket: valid is one of them');
  }
  if (tokenFile !== undefined && api === undefined) throw new CommandError(EXIT.usage, '--token-file: only with --api');
  if (paths !== undefined) return readTopology(paths, args['skip-invalid']);
  const [name, content] = api === undefined ? await ofAgent(socket) : [api, await ofApi(api, tokenFile)];
  const { parseTopology } = await import('../../compiler/model/parse/index.js');
  return usableTopology(parseTopology([{ file: name, content }]), name, args['skip-invalid']);
}

async function ofApi(url: string, tokenFile: string | undefined): Promise<unknown> {
  const { apiDocument, ImportError } = await import('../api/index.js');
  try {
    return await apiDocument(url, readTokenFile('--token-file', tokenFile));
  } catch (error) {
    if (error instanceof ImportError) throw new CommandError(EXIT.invalidInput, `--api: ${error.message}`);
    throw error;
  }
}

async function ofAgent(path: string | undefined): Promise<readonly [string, unknown]> {
  const socket = path === undefined || path === '' ? socketOption.socket.default : path;
  const { code, body } = await askAgent(socket, '/topology');
  if (code === 200) return [socket, understood(socket, () => JSON.parse(body) as unknown)];
  throw new CommandError(EXIT.invalidInput, `--socket: ${socket}: ${body.trim()}`);
}
