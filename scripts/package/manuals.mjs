// Writes the manual pages as roff into a folder: man1/portcullis-check.1, ...; `node scripts/package/manuals.mjs FOLDER`.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { roffOf } from './roff.mjs';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

/** A page with several names is there under each. @returns the paths of the pages in the folder */
export function writeManuals(folder, of) {
  const source = join(ROOT, 'docs', 'man');
  return readdirSync(source)
    .sort()
    .flatMap((file) => {
      const { names, section, roff } = roffOf(readFileSync(join(source, file), 'utf8'), of);
      const [own] = names;
      if (file !== `${own}.${section}.md`) throw new Error(`docs/man/${file} is the page ${own}(${section})`);
      mkdirSync(join(folder, `man${section}`), { recursive: true });
      return names.map((name) => {
        const page = join(folder, `man${section}`, `${name}.${section}`);
        writeFileSync(page, name === own ? roff : `.so man${section}/${own}.${section}\n`);
        return page;
      });
    });
}

const [, program, folder] = process.argv;
if (program === fileURLToPath(import.meta.url)) {
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  writeManuals(folder, { version, date: new Date(0).toISOString().slice(0, 10) });
}
