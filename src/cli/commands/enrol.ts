/** `portcullis hosts enrol`: makes a host known to etcd, with the rights that its agent needs and no others. */
import type { CommandModule } from 'yargs';
import { CommandError } from '../errors.js';
import { EXIT } from '../exit-codes.js';
import { printLine } from '../output.js';
import { etcdOf, etcdOptions, type EtcdArguments } from '../store-options.js';
import { readTokenFile } from '../token-file.js';

interface Arguments extends EtcdArguments {
  readonly host: string;
  readonly store: string;
  readonly 'host-password': string | undefined;
}

export const enrolCommand: CommandModule<object, Arguments> = {
  command: 'enrol <host>',
  describe: 'let a host’s agent read its own part of a store in etcd, and write nothing but its own report',
  builder: (yargs) =>
    yargs
      .positional('host', {
        type: 'string',
        demandOption: true,
        describe: 'as binding:host_id has it, and the common name of its certificate',
      })
      .options({
        store: {
          type: 'string',
          demandOption: true,
          requiresArg: true,
          describe: 'etcd:https://HOST:PORT[,…][/PREFIX], as somebody who may make roles and users',
        },
        ...etcdOptions,
        'host-password': {
          type: 'string',
          requiresArg: true,
          describe: 'a file with a password for the host; without it only its certificate is its proof',
        },
      })
      .example(
        '$0 hosts enrol compute-1 --store etcd:https://10.0.0.1:2379 --etcd-cert root.pem --etcd-key root-key.pem',
        '',
      ),
  handler: async (args) => {
    const { HOST_NAME } = await import('../../../compiler/model/host-report.js');
    if (!HOST_NAME.test(args.host)) {
      throw new CommandError(
        EXIT.usage,
        `${JSON.stringify(args.host)} is no name of a host: letters, digits, ".", "_", "-"`,
      );
    }
    const { address, given } = await etcdOf('--store', args.store, args);
    const password = readTokenFile('--host-password', args['host-password']);
    const { EtcdClient, EtcdError } = await import('../../etcd/client.js');
    const { enrol, rolesOf } = await import('../../sources/etcd/rights.js');
    const client = new EtcdClient(address, given);
    try {
      await enrol(client, address.prefix, args.host, password);
    } catch (error) {
      if (error instanceof EtcdError) throw new CommandError(EXIT.invalidInput, `--store: ${error.message}`);
      throw error;
    } finally {
      client.close();
    }
    const roles = rolesOf(address.prefix, args.host).map(({ name }) => name);
    printLine(`${args.host} is a user of etcd, with the roles ${roles.join(' and ')}`);
  },
};
