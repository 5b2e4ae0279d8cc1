// What suites need of Debian's packages.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, rmSync, writeFileSync } from 'node:fs';

/** Debian's: its packages are for no other interpreter. */
export const PYTHON = '/usr/bin/python3';

const areThere = (modules) =>
  spawnSync(PYTHON, ['-c', `import ${modules.join(', ')}`], { stdio: 'ignore' }).status === 0;

/** Why a suite cannot run here; undefined when it can. Installs what is missing, as root. */
export function obstacle(modules, packages) {
  if (areThere(modules)) return undefined;
  const why = installPackages(packages);
  return why ?? (areThere(modules) ? undefined : `Debian's packages ${packages.join(', ')} are not for ${PYTHON}`);
}

/** Forbids packages to start their daemons: Debian's invoke-rc.d asks it. */
const POLICY = '/usr/sbin/policy-rc.d';

/** Why packages cannot be installed; undefined when they are. Nothing that they bring is started. */
export function installPackages(packages) {
  const missing = `Debian's packages ${packages.join(', ')} are not installed`;
  if (process.getuid?.() !== 0) return `${missing}, and only root installs them`;
  process.stdout.write(`installing ${packages.join(', ')}\n`);
  const isOurs = !existsSync(POLICY);
  if (isOurs) writeFileSync(POLICY, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  try {
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
    execFileSync('apt-get', ['update', '-qq'], { stdio: 'ignore', env });
    execFileSync('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...packages], { stdio: 'ignore', env });
    return undefined;
  } catch {
    return `${missing}, and apt-get cannot get them`;
  } finally {
    if (isOurs) rmSync(POLICY);
  }
}

/** The version of a package, without Debian's own part; '' for one that is not there. */
export function versionOf(name) {
  const { stdout, status } = spawnSync('dpkg-query', ['-W', '-f', '${Version}', name], { encoding: 'utf8' });
  return status === 0 ? stdout.replace(/^\d+:/, '').replace(/-[^-]*$/, '') : '';
}
