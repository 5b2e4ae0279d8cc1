/** `portcullis api`: the control API. */
import type { CommandModule } from 'yargs';
import { apiOptions, listening, openApi, type ApiArguments } from '../api-options.js';
import { hashPasswordCommand } from './hash-password.js';
import { logLevelOption, makeLogger, type LogLevel } from '../logger.js';

interface Arguments extends ApiArguments {
  readonly listen: string;
  readonly 'compute-host': string | undefined;
  readonly 'log-level': LogLevel;
}

export const apiCommand: CommandModule<object, Arguments> = {
  command: 'api',
  describe: 'serve the control API, which the openstack client drives',
  builder: (yargs) =>
    yargs
      .options({
        listen: {
          type: 'string',
          default: '127.0.0.1:9696',
          requiresArg: true,
          describe: 'HOST:PORT, [IPV6]:PORT or unix:/PATH',
        },
        ...apiOptions,
        'compute-host': {
          type: 'string',
          requiresArg: true,
          describe: 'the host that new servers are bound to; without it each must say',
        },
        ...logLevelOption,
      })
      .command(hashPasswordCommand)
      .example('$0 api --store /var/lib/portcullis', 'for the openstack client on this machine')
      .example(
        '$0 api --store /var/lib/portcullis --listen 0.0.0.0:9696 --auth tokens:/etc/portcullis/users.yaml',
        'for others',
      ),
  handler: async (args) => {
    const log = await makeLogger(args['log-level']);
    const api = await openApi(args.listen, '--listen', args, args['compute-host'], log);
    log.info(
      { id: 'api-listens', address: await listening(api, '--listen'), store: args.store, auth: args.auth },
      'the API listens',
    );
    const ended = new Promise<void>((resolve) => {
      process.once('SIGTERM', resolve);
      process.once('SIGINT', resolve);
    });
    // By itself: the rest of the agent is not needed here.
    const { notify } = await import('../../../agent/service-manager.js');
    await notify('READY=1');
    await ended;
    await api.close();
    log.info({ id: 'stopped' }, 'stopped');
    process.exit(0);
  },
};
