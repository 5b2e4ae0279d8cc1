/** How driver.py is started. */
import { fileURLToPath } from 'node:url';

/** Debian's: its packages are for no other interpreter. */
export const PYTHON = '/usr/bin/python3';
// The build does not copy it.
export const DRIVER = fileURLToPath(new URL('../../../bench/neutron/driver.py', import.meta.url));

const why = process.env['PORTCULLIS_BENCH_NO_NEUTRON'] ?? '';
/** Why there is no Neutron here; undefined where there is (scripts/bench.mjs sees to it). */
export const NO_NEUTRON = why === '' ? undefined : why;
