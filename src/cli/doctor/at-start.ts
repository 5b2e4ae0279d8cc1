/** What an agent says of its host as it begins: the parts of `portcullis doctor` that are had at once. */
import { listLinks } from '../../../agent/index.js';
import type { CompileOptions } from '../../../compiler/index.js';
import type { Log } from '../../../agent/log.js';
import { quickChecksOf } from './checks.js';
import { runChecks } from './run-checks.js';

/** Of each. */
const DEADLINE_MS = 10_000;

/** Says a warning for whatever is not well. Never rejects. */
export async function sayAtStart(options: CompileOptions, log: Log): Promise<void> {
  const findings = await runChecks(quickChecksOf(options, listLinks), DEADLINE_MS);
  for (const { check, result, reason, mend } of findings) {
    if (result !== 'ok')
      log.warn({ id: 'doctor', check, ...(mend === undefined ? {} : { mend }) }, `doctor: ${reason}`);
  }
}
