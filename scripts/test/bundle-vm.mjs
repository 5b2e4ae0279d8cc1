// Makes a few files of the compiled vm tier and all that it imports: under emulation each file takes long to load, and what vite does to
// a module as long as a test. docs/decisions/vm-tier.md.
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { rolldown } from 'rolldown';

/** What has native parts or looks for its own files, and vitest, which is there already. */
const ELSEWHERE = /^(vitest|lmdb|netlink|fastify|@fastify\/|pino|pino-pretty|@grpc\/|protobufjs|amqplib)(\/|$)/;

/** Reads `dist` below `root`, writes `dist/bundled/test/vm` for scripts/test/vm.config.mjs. */
export async function bundleVm(root) {
  const tests = readdirSync(join(root, 'dist', 'test', 'vm')).filter((file) => file.endsWith('.test.js'));
  const bundle = await rolldown({
    cwd: root,
    input: {
      ...Object.fromEntries(tests.map((file) => [file.replace(/\.js$/, ''), `dist/test/vm/${file}`])),
      seed: 'dist/test/support/seed.js',
      runner: 'dist/test/support/runner.js',
    },
    platform: 'node',
    external: ELSEWHERE,
    // What a test does by being loaded is what it is for.
    treeshake: false,
    logLevel: 'warn',
    onLog(level, log, say) {
      if (!(log.id ?? '').includes('node_modules')) say(level, log);
    },
  });
  const out = join(root, 'dist', 'bundled', 'test', 'vm');
  rmSync(out, { recursive: true, force: true });
  await bundle.write({ dir: out, format: 'esm', chunkFileNames: 'parts/[name]-[hash].js' });
  await bundle.close();
}
