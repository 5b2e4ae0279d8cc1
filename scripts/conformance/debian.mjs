// What suites need of Debian's packages.
import { execFileSync, spawnSync } from 'node:child_process';

/** Debian's: its packages are for no other interpreter. */
export const PYTHON = '/usr/bin/python3';

const areThere = (modules) =>
  spawnSync(PYTHON, ['-c', `import ${modules.join(', ')}`], { stdio: 'ignore' }).status === 0;

/** Why a suite cannot run here; undefined when it can. Installs what is missing, as root. */
export function obstacle(modules, packages) {
  if (areThere(modules)) return undefined;
  const missing = `Debian's packages ${packages.join(', ')} are not installed`;
  if (process.getuid?.() !== 0) return `${missing}, and only root installs them`;
  process.stdout.write(`installing ${packages.join(', ')}\n`);
  try {
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
    execFileSync('apt-get', ['update', '-qq'], { stdio: 'ignore', env });
    execFileSync('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...packages], { stdio: 'ignore', env });
  } catch {
    return `${missing}, and apt-get cannot get them`;
  }
  return areThere(modules) ? undefined : `${missing} for ${PYTHON}`;
}

/** The version of a package, without Debian's own part; '' for one that is not there. */
export function versionOf(name) {
  const { stdout, status } = spawnSync('dpkg-query', ['-W', '-f', '${Version}', name], { encoding: 'utf8' });
  return status === 0 ? stdout.replace(/^\d+:/, '').replace(/-[^-]*$/, '') : '';
}
