/** Where this package lies, and programs of it that run as processes of their own. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** As scripts/bundle.mjs writes them. */
export type Program = 'portcullis' | 'watching-process' | 'confirm-process';

/** The folder that holds package.json, whichever file of it this code is in: a module, or a part of the bundle. */
export function packageRoot(): string {
  const here = dirname(fileURLToPath(import.meta.url));
  for (let folder = here, above = dirname(here); ; folder = above, above = dirname(above)) {
    if (existsSync(join(folder, 'package.json'))) return folder;
    if (folder === above) throw new Error(`${here} is in no package`);
  }
}

/** To be run with Node. */
export function programPath(name: Program): string {
  return join(packageRoot(), 'dist', 'bin', `${name}.js`);
}
