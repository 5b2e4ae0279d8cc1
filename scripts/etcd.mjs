// Where tests find etcd and etcdctl: this machine's or, without installing anything that starts by itself, those of Debian's packages.
// Usage: etcd.mjs CACHE; prints the folder.
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';

const PACKAGES = ['etcd-server', 'etcd-client'];
const PROGRAMS = ['etcd', 'etcdctl'];

/** Why no etcd can be had here; undefined when one can, and is there. */
export function etcdObstacle(cache) {
  try {
    fetchEtcd(cache);
    return undefined;
  } catch (error) {
    return `no etcd is here, and Debian's packages ${PACKAGES.join(' and ')} cannot be fetched: ${error.message}`;
  }
}

/** The folder of the programs, fetched once into `cache`. Throws when there is none to fetch. */
export function fetchEtcd(cache) {
  const found = installed();
  if (found !== undefined) return found;
  const there = place(cache);
  if (existsSync(there)) return there;
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-etcd-'));
  try {
    execFileSync('apt-get', ['download', '-qq', ...PACKAGES], { cwd: folder, stdio: 'ignore' });
    for (const file of readdirSync(folder)) execFileSync('dpkg-deb', ['-x', join(folder, file), join(folder, 'tree')]);
    mkdirSync(cache, { recursive: true });
    const next = mkdtempSync(`${there}.`);
    cpSync(join(folder, 'tree', 'usr', 'bin'), next, { recursive: true });
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

function place(cache) {
  return join(cache, 'etcd');
}

function installed() {
  const folders = PROGRAMS.map((name) =>
    dirname((spawnSync('which', [name], { encoding: 'utf8' }).stdout ?? '').trim()),
  );
  return folders.every((folder) => folder !== '.' && folder === folders[0]) ? folders[0] : undefined;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const [cache] = process.argv.slice(2);
  process.stdout.write(`${fetchEtcd(cache)}\n`);
}
