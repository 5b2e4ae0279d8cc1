/** Network namespaces of tests: named after the process that made them, so that whoever comes next removes those of one that was killed. */
import { existsSync, readdirSync } from 'node:fs';
import { execa, execaSync } from 'execa';
import { atExit } from '../../support/at-exit.js';

const PREFIX = 'pctest-';

/** A name for one of this process. */
export function namespaceName(what: string): string {
  return `${PREFIX}${process.pid.toString()}-${what}`;
}

/** Makes one of this process. @returns its end, which comes by itself when this process ends. */
export async function makeNamespace(name: string): Promise<() => void> {
  removeLeftovers();
  const remove = (): void => {
    removeNamespace(name);
  };
  const forget = atExit(remove);
  await execa('ip', ['netns', 'add', name]);
  return () => {
    forget();
    remove();
  };
}

export function removeNamespace(name: string): void {
  if (existsSync(`/run/netns/${name}`)) execaSync('ip', ['netns', 'delete', name], { reject: false });
}

/** Namespaces of runs that were killed. */
export function removeLeftovers(): void {
  if (!existsSync('/run/netns')) return;
  for (const name of readdirSync('/run/netns')) {
    const pid = new RegExp(`^${PREFIX}(\\d+)-`).exec(name)?.[1];
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) removeNamespace(name);
  }
}
