/** The Python that programs of tests run in. */
import { existsSync } from 'node:fs';

const DEBIAN = '/usr/bin/python3';

/** The distribution's own, where there is one: what stands before it in PATH may be a script that looks for a version first, of many times the cost. */
export const PYTHON = existsSync(DEBIAN) ? DEBIAN : 'python3';
