/** Tests run the programs in dist/bin: they must be those of the modules in dist, or what is tested is of yesterday. */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

const BUNDLE = 'dist/bin/portcullis.js';

export function setup(): void {
  const built = existsSync(BUNDLE) ? statSync(BUNDLE).mtimeMs : 0;
  for (const folder of ['dist/src', 'dist/agent', 'dist/compiler']) {
    for (const name of existsSync(folder) ? readdirSync(folder, { recursive: true, encoding: 'utf8' }) : []) {
      const file = join(folder, name);
      if (file.endsWith('.js') && statSync(file).mtimeMs > built)
        throw new Error(`${BUNDLE} is older than ${file}: npm run build`);
    }
  }
}
