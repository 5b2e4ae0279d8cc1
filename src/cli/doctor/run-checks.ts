/** Runs checks: one that throws or hangs is one that cannot be told, and keeps no other from its answer. */
import { constants } from 'node:os';
import { unknown, type CheckedFinding, type Finding } from './finding.js';

export interface Check {
  readonly name: string;
  readonly look: () => Promise<readonly Finding[]>;
}

const { EPERM } = constants.errno;

/**
 * All at once.
 * @param deadline of each, in milliseconds.
 * @returns what they found, in the order of the checks; of each at least one finding.
 */
export async function runChecks(checks: readonly Check[], deadline: number): Promise<readonly CheckedFinding[]> {
  const found = await Promise.all(
    checks.map(async ({ name, look }) => {
      const findings = await withDeadline(look, deadline);
      const said = findings.length > 0 ? findings : [unknown('it said nothing')];
      return said.map((finding) => ({ check: name, ...finding }));
    }),
  );
  return found.flat();
}

async function withDeadline(look: Check['look'], deadline: number): Promise<readonly Finding[]> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<readonly Finding[]>((resolve) => {
    timer = setTimeout(() => {
      resolve([unknown(`no answer within ${(deadline / 1000).toString()} s`)]);
    }, deadline);
  });
  try {
    return await Promise.race([look(), late]);
  } catch (error) {
    return [whyNot(error)];
  } finally {
    clearTimeout(timer);
  }
}

function whyNot(error: unknown): Finding {
  if (!(error instanceof Error)) return unknown(String(error));
  const isForbidden =
    ('errno' in error && error.errno === EPERM) ||
    ('code' in error && (error.code === 'not-permitted' || error.code === 'EACCES'));
  return unknown(error.message, isForbidden ? 'run it as root' : undefined);
}
