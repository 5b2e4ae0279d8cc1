// The packages that the program needs where it runs, by the lock file: without those of the tools, and without what is for other machines.
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { extname, join, relative, sep } from 'node:path';

/** What a program is made of when it runs; everything else is for those who work on a package: sources, types, maps, settings, words. */
const KEPT = new Set(['.js', '.cjs', '.mjs', '.json', '.node', '.proto', '.wasm']);
/** Folders of a package that nobody loads from. */
const FOLDERS = new Set([
  ...['test', 'tests', 'spec', 'bench', 'benchmark', 'benchmarks', 'integration', 'docs', 'example', 'examples'],
  ...['bin', 'scripts', 'tools', 'dependencies'],
]);
/** Their texts are in one file of the package. */
const LICENCE = /^(licen[cs]e|copying|notice)(-[a-z0-9-]+)?(\.(md|txt|markdown))?$/i;

/** @returns {{ path: string, version: string, license: string }[]} sorted; paths as node_modules/fastify */
export function productionPackages(root) {
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
  const isHere = (list, own) => list === undefined || list.includes(own);
  return Object.entries(packages)
    .filter(([path, one]) => path !== '' && one.dev !== true && one.devOptional !== true && !/\/@types\//.test(path))
    .filter(([, { os, cpu }]) => isHere(os, process.platform) && isHere(cpu, process.arch))
    .map(([path, { version, license, optional }]) => ({ path, version, license, optional }))
    .filter(({ path, optional }) => {
      if (existsSync(join(root, path, 'package.json'))) return true;
      if (optional === true) return false;
      throw new Error(`${path} is not there: npm ci`);
    })
    .sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** Copies one package, without those below it, which are copied by themselves. */
export function copyPackage(from, to) {
  cpSync(from, to, {
    recursive: true,
    dereference: true,
    filter: (file) => {
      const inside = relative(from, file).split(sep);
      if (inside[0] === 'node_modules' || FOLDERS.has(inside[0]) || inside.at(-1).startsWith('.')) return false;
      return statSync(file).isDirectory() || KEPT.has(extname(file));
    },
  });
  for (const name of readdirSync(to, { recursive: true }))
    if (isForOthers(name)) rmSync(join(to, name), { recursive: true, force: true });
}

/** Native parts of other machines: by the folder's name, or by the kind of C library in the file's. */
function isForOthers(name) {
  const [, folder] = /(?:^|\/)prebuilds\/([^/]+)$/.exec(name) ?? [];
  if (folder !== undefined) return folder !== `${process.platform}-${process.arch}`;
  return /\.musl\.node$/.test(name);
}

/** The licence of a package in its own words; of one that everybody has, where it is, and whose it is. */
export function licenceOf(folder, license) {
  const texts = readdirSync(folder)
    .filter((name) => LICENCE.test(name) && statSync(join(folder, name)).isFile())
    .sort()
    .map((name) => ({ name, text: readFileSync(join(folder, name), 'utf8').trim() }));
  if (license !== 'Apache-2.0') {
    const { author } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
    const by = typeof author === 'object' ? author?.name : author;
    return texts.length > 0
      ? texts.map(({ text }) => text).join('\n\n')
      : `Licence: ${license}${by === undefined ? '' : `. Author: ${by}`}`;
  }
  const notices = texts.flatMap(({ name, text }) =>
    /^notice/i.test(name) ? [text] : (text.match(/^\s*Copyright (\(c\)|©|\d).*$/gim) ?? []).map((line) => line.trim()),
  );
  return ['Licence: /usr/share/common-licenses/Apache-2.0', ...notices].join('\n');
}
