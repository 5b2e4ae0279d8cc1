// Where tests find etcd and etcdctl. Usage: etcd.mjs CACHE; prints the folder.
import { pathToFileURL } from 'node:url';
import { fetchPrograms, programsObstacle } from './debian-programs.mjs';

const ETCD = { name: 'etcd', packages: ['etcd-server', 'etcd-client'], programs: ['etcd', 'etcdctl'] };

/** Why no etcd can be had here; undefined when one can, and is there. */
export function etcdObstacle(cache) {
  return programsObstacle(ETCD, cache);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const [cache] = process.argv.slice(2);
  process.stdout.write(`${fetchPrograms(ETCD, cache)}\n`);
}
