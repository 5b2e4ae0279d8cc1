// Where tests find promtool, which checks and tries rules for alerts. Usage: promtool.mjs CACHE; prints the folder.
import { pathToFileURL } from 'node:url';
import { fetchPrograms, programsObstacle } from './debian-programs.mjs';

const PROMTOOL = { name: 'promtool', packages: ['prometheus'], programs: ['promtool'] };

/** Why no promtool can be had here; undefined when one can, and is there. */
export function promtoolObstacle(cache) {
  return programsObstacle(PROMTOOL, cache);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const [cache] = process.argv.slice(2);
  process.stdout.write(`${fetchPrograms(PROMTOOL, cache)}\n`);
}
