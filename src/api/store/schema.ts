/** The version of what is stored: of the shapes in records.ts, and of a backup. */
import { StoreError, type Changes, type Json, type Snapshot } from './store.js';

/** To be raised with every change that an older version cannot read; {@link UPGRADES} then says how to go on from the former one. */
export const SCHEMA = 2;

/** The last version of which neither records nor backups have checksums. */
export const UNSEALED = 1;

/** What to change in everything that a version stored, so that it is as the next one stores it. */
export type Upgrade = (entries: ReadonlyMap<string, Json>) => Changes;

/** By the version that is left behind. */
const UPGRADES: ReadonlyMap<number, Upgrade> = new Map([[1, fromSchema1]]);

/** @throws StoreError when the store is of a newer version, which this one would damage. */
export function checkSchema(name: string, found: number | undefined): void {
  if (found !== undefined && found > SCHEMA) {
    throw new StoreError(
      `${name}: written by a newer version (schema ${found.toString()}; this one reads up to ${SCHEMA.toString()})`,
    );
  }
}

/** What to change so that all is of this version; undefined when it is already. @throws StoreError */
export function upgrade(
  name: string,
  { schema, entries }: Pick<Snapshot, 'schema' | 'entries'>,
  upgrades = UPGRADES,
  to = SCHEMA,
): Changes | undefined {
  if (schema === undefined || schema >= to) return undefined;
  const upgraded = new Map(entries);
  const changes = new Map<string, Json | undefined>();
  for (let version = schema; version < to; version++) {
    const step = upgrades.get(version);
    if (step === undefined)
      throw new StoreError(`${name}: schema ${version.toString()} cannot be upgraded by this version`);
    for (const [key, value] of step(upgraded)) {
      changes.set(key, value);
      if (value === undefined) upgraded.delete(key);
      else upgraded.set(key, value);
    }
  }
  return changes;
}

/** Everything is written again: with checksums, which that one did not have. */
function fromSchema1(entries: ReadonlyMap<string, Json>): Changes {
  return new Map([...entries, ...portsOfServers(entries), ...dhcpOptions(entries)]);
}

/** Whatever was given was stored; what is no option goes. */
function dhcpOptions(entries: ReadonlyMap<string, Json>): Changes {
  const changes = new Map<string, Json>();
  for (const [key, port] of entries) {
    if (!key.startsWith('port/') || !isRecord(port)) continue;
    const given = port['extra_dhcp_opts'];
    const options = (Array.isArray(given) ? given : []).flatMap((option: Json) => {
      const { opt_name: name, opt_value: value, ip_version: version } = isRecord(option) ? option : {};
      const isOption = typeof name === 'string' && typeof value === 'string';
      return isOption ? [{ opt_name: name, opt_value: value, ip_version: Number(version) === 6 ? 6 : 4 }] : [];
    });
    changes.set(key, { ...port, extra_dhcp_opts: options });
  }
  return changes;
}

/**
 * A server says which ports are its own. Before, those that named it were: of them, the ones that it was given, and the ones that its
 * own project has and that look as if it had made them.
 */
function portsOfServers(entries: ReadonlyMap<string, Json>): Changes {
  const changes = new Map<string, Json>();
  const records = [...entries].flatMap(([key, value]) => (isRecord(value) ? [{ key, value }] : []));
  const ports = records.filter(({ key }) => key.startsWith('port/')).map(({ value }) => value);
  for (const { key, value: server } of records) {
    if (!key.startsWith('server/')) continue;
    const kept = server['kept_ports'];
    const own = ports.filter(
      (port) =>
        port['device_id'] === server['id'] &&
        port['project_id'] === server['project_id'] &&
        ((Array.isArray(kept) && kept.includes(port['id'])) || isCompute(port['device_owner'])),
    );
    changes.set(key, { ...server, ports: own.flatMap(({ id }) => id ?? []) });
  }
  return changes;
}

function isRecord(value: Json): value is Readonly<Record<string, Json>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isCompute(owner: Json | undefined): boolean {
  return typeof owner === 'string' && owner.startsWith('compute:');
}
