/** Where a running API is, and who asks it. */
import type { Options } from 'yargs';

export const apiUrlOptions = {
  api: { type: 'string', default: 'http://127.0.0.1:9696', requiresArg: true, describe: 'URL of the API' },
  'token-file': { type: 'string', requiresArg: true, describe: 'a file with a token of an administrator or of agents' },
} as const satisfies Record<string, Options>;

export interface ApiUrlArguments {
  readonly api: string;
  readonly 'token-file': string | undefined;
}
