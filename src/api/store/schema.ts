/** The version of what is stored: of the shapes in records.ts, and of a backup. */
import { StoreError } from './store.js';

/** To be raised with every change that an older version cannot read; `upgraded` then says how to go on from the former one. */
export const SCHEMA = 1;

/** @throws StoreError when the store is of a newer version, which this one would damage. */
export function checkSchema(name: string, found: number | undefined): void {
  if (found !== undefined && found > SCHEMA) {
    throw new StoreError(
      `${name}: written by a newer version (schema ${found.toString()}; this one reads up to ${SCHEMA.toString()})`,
    );
  }
}
