/** What a host may do in etcd: read what concerns agents and its own ports, write what it says of itself. Nothing else. */
import { endOf, type EtcdClient } from '../../etcd/client.js';
import type { Permission } from '../../etcd/messages.js';
import { scopeOf } from '../feed/scopes.js';
import { ASKED, reportKey, VIEW } from './layout.js';

/** Below `view/`: what any host may need, since any group may be named by its rules. */
const OF_ALL_HOSTS = ['networks/', 'groups/', 'members/', 'address-groups/', ASKED] as const;

export interface Role {
  readonly name: string;
  readonly permissions: readonly Permission[];
}

/** @param prefix of the store, with its slash. @returns what hosts share, and what is this one's alone. */
export function rolesOf(prefix: string, host: string): readonly [shared: Role, own: Role] {
  const read = (name: string): Permission => ({ permType: 'READ', key: Buffer.from(prefix + name) });
  const readAll = (name: string): Permission => ({ ...read(name), range_end: endOf(Buffer.from(prefix + name)) });
  return [
    {
      name: `${prefix}agents`,
      permissions: [read('head'), read('identity'), ...OF_ALL_HOSTS.map((scope) => readAll(VIEW + scope))],
    },
    {
      name: `${prefix}hosts/${host}`,
      permissions: [
        readAll(VIEW + scopeOf.host(host)),
        { permType: 'READWRITE', key: Buffer.from(prefix + reportKey(host)) },
      ],
    },
  ];
}

/**
 * Makes a host known to etcd, as a user of the host's name; done again it does nothing.
 * @param password undefined for a host that is known by its certificate, whose common name is the host's.
 * @throws EtcdError
 */
export async function enrol(
  client: EtcdClient,
  prefix: string,
  host: string,
  password: string | undefined,
): Promise<void> {
  const roles = rolesOf(prefix, host);
  for (const { name, permissions } of roles) await client.grant(name, permissions);
  await client.enrol(
    host,
    password,
    roles.map(({ name }) => name),
  );
}
