// Where tests find programs that no tier installs: this machine's or, without installing anything that starts by itself, those of Debian's
// packages, unpacked once into a cache.
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

/** Why the programs cannot be had here; undefined when they can, and are there. */
export function programsObstacle(wanted, cache) {
  try {
    fetchPrograms(wanted, cache);
    return undefined;
  } catch (error) {
    const packages = wanted.packages.join(' and ');
    return `no ${wanted.name} is here, and of Debian ${packages} cannot be fetched: ${error.message}`;
  }
}

/** The folder of the programs, fetched once into `cache`. Throws when there is none to fetch. */
export function fetchPrograms(wanted, cache) {
  const found = installed(wanted);
  if (found !== undefined) return found;
  const there = join(cache, wanted.name);
  if (existsSync(there)) return there;
  const folder = mkdtempSync(join(tmpdir(), `portcullis-${wanted.name}-`));
  try {
    execFileSync('apt-get', ['download', '-qq', ...wanted.packages], { cwd: folder, stdio: 'ignore' });
    for (const file of readdirSync(folder)) execFileSync('dpkg-deb', ['-x', join(folder, file), join(folder, 'tree')]);
    mkdirSync(cache, { recursive: true });
    const next = mkdtempSync(`${there}.`);
    for (const name of wanted.programs) cpSync(join(folder, 'tree', 'usr', 'bin', name), join(next, name));
    renameSync(next, there);
    return there;
  } catch (error) {
    // Another process was first.
    if (existsSync(there)) return there;
    throw error;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function installed({ programs }) {
  const folders = programs.map((name) =>
    dirname((spawnSync('which', [name], { encoding: 'utf8' }).stdout ?? '').trim()),
  );
  return folders.every((folder) => folder !== '.' && folder === folders[0]) ? folders[0] : undefined;
}
