/** Neutron's driver, as driver.py runs it. */
import { fileURLToPath } from 'node:url';

// The build does not copy it.
export const DRIVER = fileURLToPath(new URL('../../../bench/neutron/driver.py', import.meta.url));

const why = process.env['PORTCULLIS_BENCH_NO_NEUTRON'] ?? '';
/** Why there is no Neutron here; undefined where there is (scripts/bench.mjs sees to it). */
export const NO_NEUTRON = why === '' ? undefined : why;
