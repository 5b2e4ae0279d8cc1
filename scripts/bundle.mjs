// Makes the programs out of what the compiler wrote to dist: each a file, with parts that are loaded when they are needed. Node loads a
// few files in a third of the time that it takes for four hundred. docs/decisions/bundle.md.
import { chmodSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const OUT = join(ROOT, 'dist', 'bin');
// agent/programs.ts knows these names.
const PROGRAMS = {
  portcullis: 'dist/src/cli/main.js',
  'watching-process': 'dist/agent/watch/process.js',
  'confirm-process': 'dist/agent/kernel/confirm-process.js',
};
/** Native parts, and what looks for its own files: stays where npm put it. */
const ELSEWHERE = /^(lmdb|netlink|fastify|@fastify\/|pino-pretty|@grpc\/|protobufjs|amqplib)(\/|$)/;

/** None of our modules does anything by being loaded, so that what nobody uses of one is not in a program: whoever wants a constant does not load a compiler. */
const OURS = ['src', 'agent', 'compiler'].map((name) => join(ROOT, 'dist', name));

/** What almost every command loads, in one file: each file takes a while, however small it is. */
const COMMON =
  /\/dist\/(src\/(cli\/(commands\/index|command-spec|errors|exit-codes|lost-output|output|usage|version)|system\/terminal)|compiler\/model\/(problem|isolation|nearest))\.js$|\/node_modules\/picocolors\//;

const bundle = await rolldown({
  cwd: ROOT,
  input: Object.fromEntries(Object.entries(PROGRAMS).map(([name, file]) => [name, join(ROOT, file)])),
  platform: 'node',
  external: ELSEWHERE,
  treeshake: { moduleSideEffects: (id) => !OURS.some((folder) => id.startsWith(folder)) },
  // What it cannot do is an error; what it would say beyond that is about other people's code.
  logLevel: 'warn',
  onLog(level, log, say) {
    if (!(log.id ?? '').includes('node_modules')) say(level, log);
  },
});
rmSync(OUT, { recursive: true, force: true });
await bundle.write({
  dir: OUT,
  format: 'esm',
  chunkFileNames: 'parts/[name]-[hash].js',
  codeSplitting: { groups: [{ name: 'common', test: COMMON }] },
});
await bundle.close();
for (const name of Object.keys(PROGRAMS)) {
  const file = join(OUT, `${name}.js`);
  if (name === 'portcullis' && !readFileSync(file, 'utf8').startsWith('#!'))
    throw new Error(`${file} has lost its first line`);
  chmodSync(file, 0o755);
}
