// A Docker engine and a base image for the container tier. An engine that answers already is used; otherwise one is started
// in a network namespace of its own, so that its bridges and rules are nobody's concern, and ended when the tests are done.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  cpSync,
  createReadStream,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { createInterface } from 'node:readline';
import { pipeline } from 'node:stream/promises';
import { setTimeout } from 'node:timers/promises';
import { isMemoryPlenty } from './test/memory.mjs';
import { note } from './test/progress.mjs';

/**
 * In the base image, beside what Debian requires: for the image itself, to be a host with systemd, and what
 * docs/deploy.md has its reader install, since there is no network where it is tried.
 */
const PACKAGES = [
  ...['nftables', 'iproute2', 'procps', 'systemd', 'systemd-sysv', 'libstdc++6'],
  ...['curl', 'etcd-client', 'etcd-server', 'openssh-client', 'openssh-server', 'openssl', 'python3-openstackclient'],
];
/** What nobody reads there: half of the files. */
const UNREAD = ['usr/share/doc', 'usr/share/man', 'usr/share/locale', 'var/cache/apt', 'var/lib/apt/lists'];
const BASE = 'portcullis-test-base';
/** Milliseconds without a word of the engine after which it is given up. */
const silence = () => 60_000 * Number(process.env.PORTCULLIS_SLOWNESS ?? 1);

/** Why the tier cannot run here; undefined when it can. */
export function containerObstacle() {
  if (process.platform !== 'linux') return 'it needs Linux';
  if (process.getuid?.() !== 0) return 'it needs root';
  for (const program of ['docker', 'dockerd', 'mmdebstrap', 'nsenter', 'ip', 'lintian']) {
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

/** Programs that a killed run left, with all that they started; the mounts below its folder; its network. */
function removeLeftovers() {
  for (const [name, pid] of readNamespaces().matchAll(/^pcdocker-(\d+)\b/gm)) {
    if (!existsSync(`/proc/${pid}`)) removeEngine(name, engineFolder(pid));
  }
  for (const name of readdirSync(tmpdir())) {
    const [, pid] = /^portcullis-base-(\d+)-/.exec(name) ?? [];
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) removeTree(join(tmpdir(), name));
  }
}

/** Removes a folder and what is mounted on it or below. Never fails. */
function removeTree(folder) {
  const mounts = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[1])
    .filter((at) => at === folder || at?.startsWith(`${folder}/`));
  for (const at of mounts.reverse()) spawnSync('umount', ['-l', at], { stdio: 'ignore' });
  try {
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  } catch (error) {
    process.stderr.write(`container: ${folder} stays: ${error.message}\n`);
  }
}

function readNamespaces() {
  return spawnSync('ip', ['netns', 'list'], { encoding: 'utf8' }).stdout ?? '';
}

/** What a folder may keep in memory; in KiB. */
const TREE_KIB = 2 * 1024 * 1024;

const engineFolder = (pid) => join(tmpdir(), `portcullis-docker-${pid}`);

/** Removes what an engine was, running or not. Never fails. */
function removeEngine(namespace, folder) {
  const { stdout } = spawnSync('ip', ['netns', 'pids', namespace], { encoding: 'utf8' });
  const pids = (stdout ?? '').split('\n').filter((pid) => pid !== '');
  // A container is in a network of its own: it is found as a child of what is in the engine's.
  for (const pid of descendantsOf(pids)) {
    try {
      process.kill(Number(pid), 'SIGKILL');
    } catch {
      // It has ended.
    }
  }
  spawnSync('ip', ['netns', 'delete', namespace], { stdio: 'ignore' });
  removeTree(folder);
}

/** The processes and all below them. */
function descendantsOf(pids) {
  const children = new Map();
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const parent = /^PPid:\t(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
      children.set(parent, [...(children.get(parent) ?? []), pid]);
    } catch {
      // It has ended.
    }
  }
  const found = new Set();
  const add = (pid) => {
    if (found.has(pid)) return;
    found.add(pid);
    for (const child of children.get(pid) ?? []) add(child);
  };
  for (const pid of pids) add(pid);
  return found;
}

/**
 * What is written here is half a gigabyte in 18 000 files, each of them flushed, and soon removed: on a busy disk that takes minutes.
 * Where there is room, in memory.
 */
function keepInMemory(folder) {
  if (!isMemoryPlenty()) return;
  const options = ['-t', 'tmpfs', '-o', `size=${TREE_KIB}k,mode=0700`, 'portcullis-test', folder];
  spawnSync('mount', options, { stdio: 'ignore' });
}

/** @returns {Promise<{ env: Record<string, string>, stop: () => Promise<void> }>} */
async function startEngine() {
  removeLeftovers();
  if (answers({})) return { env: {}, stop: async () => undefined };
  const folder = engineFolder(process.pid);
  const namespace = `pcdocker-${process.pid}`;
  const remove = () => removeEngine(namespace, folder);
  process.once('exit', remove);
  mkdirSync(folder, { mode: 0o700 });
  keepInMemory(folder);
  execFileSync('ip', ['netns', 'add', namespace]);
  execFileSync('ip', ['-n', namespace, 'link', 'set', 'lo', 'up']);
  const socket = `unix://${join(folder, 'docker.sock')}`;
  const logFile = join(folder, 'log');
  const log = openSync(logFile, 'w');
  // Not `ip netns exec`: it hides the control groups.
  const engine = spawn(
    'nsenter',
    [
      `--net=/run/netns/${namespace}`,
      'dockerd',
      ...['--host', socket, '--data-root', join(folder, 'data'), '--exec-root', join(folder, 'exec')],
      // What still runs when the tests have ended is nobody's any more.
      ...['--pidfile', join(folder, 'pid'), '--shutdown-timeout', '1'],
    ],
    { stdio: ['ignore', log, log] },
  );
  const ended = new Promise((resolve) => engine.once('exit', resolve));
  const stop = async () => {
    engine.kill('SIGTERM');
    await Promise.race([ended, setTimeout(silence(), undefined, { ref: false })]);
    process.off('exit', remove);
    remove();
  };
  const env = { DOCKER_HOST: socket };
  let size = -1;
  let changed = performance.now();
  while (!answers(env)) {
    const now = statSync(logFile).size;
    if (now !== size) changed = performance.now();
    size = now;
    const isSilent = performance.now() - changed > silence();
    if (engine.exitCode !== null || isSilent) {
      const lines = readFileSync(logFile, 'utf8').trim().split('\n').slice(-5).join('\n');
      await stop();
      throw new Error(`the Docker engine ${isSilent ? 'does not answer' : 'does not start'}; it said last:\n${lines}`);
    }
    await setTimeout(200);
  }
  return { env, stop };
}

/** A part of a file's name that changes with what the file is made of. */
function digest(...parts) {
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 16);
}

/**
 * Runs a program, of which every line is progress: what takes minutes in silence is taken for stuck.
 * @returns {Promise<{ why: string | undefined, last: readonly string[] }>} how it failed, if it did; its last lines
 */
async function run(program, args, { input, ...options } = {}) {
  const child = spawn(program, args, { ...options, stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'] });
  const last = [];
  const take = async (stream) => {
    for await (const line of createInterface({ input: stream, crlfDelay: Infinity })) {
      note(`${program}: ${line}`);
      last.push(line);
      if (last.length > 5) last.shift();
    }
  };
  const ended = new Promise((resolve) => {
    child.once('error', ({ message }) => resolve(message));
    child.once('exit', (code, signal) => resolve(code === 0 ? undefined : `ended with ${code ?? signal}`));
  });
  // That it takes no more says its exit code.
  const given = input === undefined ? undefined : pipeline(input, child.stdin).catch(() => undefined);
  const [why] = await Promise.all([ended, take(child.stdout), take(child.stderr), given]);
  return { why, last };
}

async function must(program, args, options) {
  const { why, last } = await run(program, args, options);
  if (why !== undefined) throw new Error(`${program} ${args.join(' ')}: ${why}: ${last.join('; ')}`);
}

/** An archive in the cache, made if it is not there; others of its kind are of another time, and go. */
async function cached(cache, kind, key, make) {
  const archive = join(cache, `${kind}-${key}.tar`);
  if (existsSync(archive)) return archive;
  const folder = mkdtempSync(join(tmpdir(), `portcullis-base-${process.pid}-`));
  keepInMemory(folder);
  try {
    const tree = join(folder, 'tree');
    mkdirSync(tree);
    await make(tree, folder);
    mkdirSync(cache, { recursive: true });
    for (const name of readdirSync(cache)) if (name.startsWith(`${kind}-`)) rmSync(join(cache, name), { force: true });
    const fresh = `${archive}.${process.pid}`;
    await must('tar', ['-C', tree, '-cvf', fresh, '.']);
    renameSync(fresh, archive);
    return archive;
  } finally {
    removeTree(folder);
  }
}

/** Some hundred downloads: when one fails, all of it is tried again. */
async function mmdebstrap(args, tree) {
  for (let left = 2; ; left--) {
    rmSync(tree, { recursive: true, force: true });
    const { why, last } = await run('mmdebstrap', [...args, tree]);
    if (why === undefined) return;
    const told = `mmdebstrap: ${why}: ${last.join('; ')}`;
    if (left === 0) throw new Error(told);
    process.stdout.write(`container: ${told}: once more\n`);
  }
}

/** The Debian of this machine's release, with our packages. */
function makeDebian(cache) {
  return cached(cache, 'debian', digest(PACKAGES, UNREAD, debianRelease(), process.arch), async (tree) => {
    process.stdout.write('container: making a Debian for the base image\n');
    const include = `--include=${PACKAGES.join(',')}`;
    await mmdebstrap(['--mode=root', '--verbose', '--variant=minbase', include, debianRelease()], tree);
    for (const path of UNREAD) rmSync(join(tree, path), { recursive: true, force: true });
  });
}

/** A Debian with Node and npm of this machine, and npm's cache of what the lock file names: builds need no network. */
async function makeBase(root, cache) {
  const debian = await makeDebian(cache);
  const lock = readFileSync(join(root, 'package-lock.json'), 'utf8');
  return cached(cache, 'base', digest(basename(debian), process.version, lock), async (tree, folder) => {
    process.stdout.write('container: putting Node and the packages into the base image\n');
    await must('tar', ['-C', tree, '-xvf', debian]);
    copyFileSync(realpathSync(process.execPath), join(tree, 'usr', 'bin', 'node'));
    const npm = dirname(dirname(realpathSync(execFileSync('which', ['npm'], { encoding: 'utf8' }).trim())));
    cpSync(npm, join(tree, 'usr', 'lib', 'node_modules', 'npm'), { recursive: true });
    symlinkSync('../lib/node_modules/npm/bin/npm-cli.js', join(tree, 'usr', 'bin', 'npm'));
    const packages = join(folder, 'packages');
    mkdirSync(packages);
    for (const name of ['package.json', 'package-lock.json', '.npmrc'])
      copyFileSync(join(root, name), join(packages, name));
    const npmCache = join(tree, 'root', '.npm');
    await must('npm', ['ci', '--ignore-scripts', '--loglevel=http', '--cache', npmCache], { cwd: packages });
  });
}

/**
 * Calls `use` with the environment in which docker(1) and testcontainers find the engine and the base image.
 * @param options.root the project
 * @param options.cache folder where the base image is kept from run to run
 */
export async function withEngine({ root, cache }, use) {
  const archive = await makeBase(root, cache);
  const engine = await startEngine();
  try {
    const env = { ...process.env, ...engine.env };
    const input = createReadStream(archive).on('data', () => note('docker import'));
    await must('docker', ['import', '-', BASE], { env, input });
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
