// A Docker engine and a base image for the container tier. An engine that answers already is used; otherwise one is started
// in a network namespace of its own, so that its bridges and rules are nobody's concern, and ended when the tests are done.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout } from 'node:timers/promises';

/** In the base image, beside what debootstrap's smallest variant has: for the image itself, and to be a host with systemd. */
const PACKAGES = ['nftables', 'iproute2', 'procps', 'systemd', 'systemd-sysv', 'libstdc++6'];
const BASE = 'portcullis-test-base';
const ENGINE_STARTS_WITHIN = 30_000;

/** Why the tier cannot run here; undefined when it can. */
export function containerObstacle() {
  if (process.platform !== 'linux') return 'it needs Linux';
  if (process.getuid?.() !== 0) return 'it needs root';
  for (const program of ['docker', 'dockerd', 'debootstrap', 'nsenter', 'ip']) {
    if (spawnSync('which', [program], { stdio: 'ignore' }).status !== 0) return `missing program: ${program}`;
  }
  if (debianRelease() === undefined) return 'it needs Debian, for its base image';
  return undefined;
}

function debianRelease() {
  const text = existsSync('/etc/os-release') ? readFileSync('/etc/os-release', 'utf8') : '';
  return /^ID=debian$/m.test(text) ? /^VERSION_CODENAME=(\S+)$/m.exec(text)?.[1] : undefined;
}

function answers(env) {
  return (
    spawnSync('docker', ['info'], { stdio: 'ignore', env: { ...process.env, ...env }, timeout: 10_000 }).status === 0
  );
}

/** @returns {Promise<{ env: Record<string, string>, stop: () => Promise<void> }>} */
async function startEngine() {
  if (answers({})) return { env: {}, stop: async () => undefined };
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-docker-'));
  const namespace = `pcdocker-${process.pid}`;
  execFileSync('ip', ['netns', 'add', namespace]);
  execFileSync('ip', ['-n', namespace, 'link', 'set', 'lo', 'up']);
  const socket = `unix://${join(folder, 'docker.sock')}`;
  const log = openSync(join(folder, 'log'), 'w');
  // Not `ip netns exec`: it hides the control groups.
  const engine = spawn(
    'nsenter',
    [
      `--net=/run/netns/${namespace}`,
      'dockerd',
      ...['--host', socket, '--data-root', join(folder, 'data'), '--exec-root', join(folder, 'exec')],
      ...['--pidfile', join(folder, 'pid')],
    ],
    { stdio: ['ignore', log, log] },
  );
  const ended = new Promise((resolve) => engine.once('exit', resolve));
  const stop = async () => {
    engine.kill('SIGTERM');
    await ended;
    spawnSync('ip', ['netns', 'delete', namespace]);
    rmSync(folder, { recursive: true, force: true });
  };
  process.once('exit', () => engine.kill('SIGTERM'));
  const env = { DOCKER_HOST: socket };
  const end = performance.now() + ENGINE_STARTS_WITHIN;
  while (!answers(env)) {
    if (engine.exitCode !== null || performance.now() > end) {
      const [reason] = readFileSync(join(folder, 'log'), 'utf8').trim().split('\n').slice(-1);
      await stop();
      throw new Error(`the Docker engine does not start: ${reason}`);
    }
    await setTimeout(200);
  }
  return { env, stop };
}

/** A Debian with Node and npm of this machine, and npm's cache of what the lock file names: builds need no network. */
function makeBase(root, cache) {
  const archive = join(cache, 'base.tar');
  if (existsSync(archive)) return archive;
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-base-'));
  try {
    const tree = join(folder, 'tree');
    const include = `--include=${PACKAGES.join(',')}`;
    execFileSync('debootstrap', ['--variant=minbase', include, debianRelease(), tree], { stdio: 'ignore' });
    rmSync(join(tree, 'var', 'cache', 'apt'), { recursive: true, force: true });
    copyFileSync(realpathSync(process.execPath), join(tree, 'usr', 'bin', 'node'));
    const npm = dirname(dirname(realpathSync(execFileSync('which', ['npm'], { encoding: 'utf8' }).trim())));
    cpSync(npm, join(tree, 'usr', 'lib', 'node_modules', 'npm'), { recursive: true });
    symlinkSync('../lib/node_modules/npm/bin/npm-cli.js', join(tree, 'usr', 'bin', 'npm'));
    const packages = join(folder, 'packages');
    mkdirSync(packages);
    for (const name of ['package.json', 'package-lock.json', '.npmrc'])
      copyFileSync(join(root, name), join(packages, name));
    const npmCache = join(tree, 'root', '.npm');
    execFileSync('npm', ['ci', '--ignore-scripts', '--cache', npmCache], { cwd: packages, stdio: 'ignore' });
    mkdirSync(cache, { recursive: true });
    execFileSync('tar', ['-C', tree, '-cf', `${archive}.new`, '.']);
    renameSync(`${archive}.new`, archive);
    return archive;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * Calls `use` with the environment in which docker(1) and testcontainers find the engine and the base image.
 * @param options.root the project
 * @param options.cache folder where the base image is kept from run to run
 */
export async function withEngine({ root, cache }, use) {
  const archive = makeBase(root, cache);
  const engine = await startEngine();
  try {
    const env = { ...process.env, ...engine.env };
    execFileSync('docker', ['import', archive, BASE], { stdio: 'ignore', env });
    return await use({
      ...engine.env,
      // The engine is ended with the tests: nothing needs a watcher that removes what they left.
      TESTCONTAINERS_RYUK_DISABLED: 'true',
      PORTCULLIS_BASE_IMAGE: BASE,
    });
  } finally {
    await engine.stop();
  }
}
