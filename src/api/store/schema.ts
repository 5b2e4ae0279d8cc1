/** The version of what is stored: of the shapes in records.ts, and of a backup. */
import { StoreError, type Changes, type Json, type Snapshot } from './store.js';

/** To be raised with every change that an older version cannot read; {@link UPGRADES} then says how to go on from the former one. */
export const SCHEMA = 1;

/** What to change in everything that a version stored, so that it is as the next one stores it. */
export type Upgrade = (entries: ReadonlyMap<string, Json>) => Changes;

/** By the version that is left behind. */
const UPGRADES: ReadonlyMap<number, Upgrade> = new Map();

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
