/** `portcullis api`: the control API. */
import type { CommandModule } from 'yargs';
import { apiCommandOptions, listening, openApi, type ApiCommandArguments } from '../api-options.js';
import { asTyped, configOption, configured, type Typed } from '../configuration/configured.js';
import { hashPasswordCommand } from './hash-password.js';
import { makeLogger } from '../logger.js';

export const apiCommand: CommandModule<object, Typed<typeof apiCommandOptions>> = {
  command: 'api',
  describe: 'serve the control API, which the openstack client drives',
  builder: (yargs) =>
    yargs
      .options({ ...configOption, ...asTyped(apiCommandOptions) })
      .command(hashPasswordCommand)
      .example('$0 api --store /var/lib/portcullis', 'for the openstack client on this machine')
      .example(
        '$0 api --store /var/lib/portcullis --listen 0.0.0.0:9696 --auth tokens:/etc/portcullis/users.yaml',
        'for others',
      ),
  handler: configured('api', apiCommandOptions, async (args: ApiCommandArguments) => {
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
  }),
};
