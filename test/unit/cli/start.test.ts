/** What is loaded before a command does anything: its start is felt at each press of a key, and by whoever asks for help. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, it } from 'vitest';

const PROGRAM = 'dist/bin/portcullis.js';
const PARTS = 'dist/bin/parts';

/** A file of the bundle and all that is loaded with it. */
function loadedWith(file: string, seen = new Set<string>()): ReadonlySet<string> {
  if (seen.has(file)) return seen;
  seen.add(file);
  for (const [, other = ''] of readFileSync(file, 'utf8').matchAll(
    /^(?:import|export)\b[^;]*?["'](\.[^"']+)["'];$/gm,
  )) {
    loadedWith(join(dirname(file), other), seen);
  }
  return seen;
}

/** A part is called by its name and a digest of eight characters. */
const DIGEST = /-.{8}\.js$/;

function partsNamed(name: string): readonly string[] {
  return readdirSync(PARTS)
    .filter((file) => file.replace(DIGEST, '') === name)
    .map((file) => join(PARTS, file));
}

/** In bytes: without a parser, a compiler, an agent and what they need, of which each is more. */
const LITTLE = 96 * 1024;

it('--version, help and completion load little, and neither does the declaration of a command', () => {
  const commands = partsNamed('common').flatMap((file) =>
    [...readFileSync(file, 'utf8').matchAll(/import\(["'](\.\/[^"']+)["']\)/g)].map(([, part = '']) =>
      join(PARTS, part),
    ),
  );
  expect(commands.length).toBeGreaterThan(15);
  const starts = [PROGRAM, ...partsNamed('help'), ...partsNamed('complete'), ...commands];
  for (const start of starts) {
    const loaded = [...loadedWith(start)];
    const bytes = loaded.reduce((sum, file) => sum + readFileSync(file).length, 0);
    expect(bytes, `${start} with ${loaded.join(' ')}`).toBeLessThan(LITTLE);
  }
  // What is looked for is there: the parser is more.
  const [run = ''] = partsNamed('run');
  expect(readFileSync(run).length).toBeGreaterThan(LITTLE);
});

/** What a host needs that has no file of options, which is most of them. */
it('an agent without a file of options loads no parser of YAML, and of netlink its lowest layer alone', () => {
  const isYaml = (file: string): boolean => readFileSync(file, 'utf8').includes('// node_modules/yaml/');
  const starts = [...partsNamed('agent'), ...partsNamed('read'), 'dist/bin/watching-process.js'];
  const loaded = starts.flatMap((start) => [...loadedWith(start)]);
  expect(loaded.filter(isYaml)).toEqual([]);
  const modules = loaded.flatMap((file) =>
    [...readFileSync(file, 'utf8').matchAll(/^import\b[^;]*?["'](netlink[^"']*)["'];$/gm)].map(([, name]) => name),
  );
  expect(new Set(modules)).toEqual(new Set(['netlink/dist/raw.js']));
  // What is looked for is there.
  expect(readdirSync(PARTS).filter((file) => isYaml(join(PARTS, file)))).not.toEqual([]);
});
