// Makes the checkout ready to run: npm packages, the build and, with --kernel, --client, --container or --vm as root, the programs of that tier.
// Quick when everything is there. Plain Node, because nothing is installed before it runs.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { clearInterval, setInterval } from 'node:timers';
import { fileURLToPath } from 'node:url';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');
const MINUTE = 60_000;
const LEAST_NODE = [20, 19];
/** What each tier needs of the system, and the Debian packages that bring it. */
const PROGRAMS = {
  '--kernel': {
    nft: 'nftables',
    ip: 'iproute2',
    conntrack: 'conntrack',
    python3: 'python3-minimal',
    faketime: 'faketime',
    'iptables-nft': 'iptables',
    'iptables-legacy': 'iptables',
    ipset: 'ipset',
  },
  '--client': {
    openstack: 'python3-openstackclient',
    'keystone-manage': 'python3-keystone',
    openssl: 'openssl',
    jq: 'jq',
    zsh: 'zsh',
    fish: 'fish',
  },
  '--container': {
    docker: 'docker.io',
    dockerd: 'docker.io',
    mmdebstrap: 'mmdebstrap',
    nsenter: 'util-linux',
    lintian: 'lintian',
  },
  '--vm': process.arch === 'x64' ? { 'qemu-system-x86_64': 'qemu-system-x86', busybox: 'busybox-static' } : {},
};

const say = (line) => process.stderr.write(`set-up: ${line}\n`);

function fail(line) {
  say(line);
  process.exit(1);
}

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major < LEAST_NODE[0] || (major === LEAST_NODE[0] && minor < LEAST_NODE[1])) {
    fail(`Node ${process.versions.node} is too old: 20.19 or newer is needed`);
  }
}

/** Runs a program and says each minute that it does. Throws, with all that it printed, when it fails. */
async function run(program, args, env = process.env) {
  const child = spawn(program, args, { cwd: ROOT, env, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk));
  const timer = setInterval(() => say(`still at it: ${program} ${args[0] ?? ''}`), MINUTE);
  try {
    const code = await new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('close', resolve);
    });
    if (code !== 0) throw new Error(`${output}${program} ${args.join(' ')} failed`);
  } finally {
    clearInterval(timer);
  }
}

async function installPackages() {
  const stamp = join(ROOT, 'node_modules', '.portcullis-setup');
  const wanted = createHash('sha256')
    .update(readFileSync(join(ROOT, 'package-lock.json')))
    .digest('hex');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return;
  say('installing npm packages');
  await run('npm', ['ci', '--no-audit', '--no-fund']);
  writeFileSync(stamp, wanted);
}

/** The newest change below a folder, in milliseconds. */
function newest(folder) {
  let latest = 0;
  for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true })) {
    if (entry.isFile()) latest = Math.max(latest, statSync(join(entry.parentPath ?? entry.path, entry.name)).mtimeMs);
  }
  return latest;
}

async function build() {
  const sources = ['src', 'compiler', 'agent', 'test', 'bench'].map((name) => join(ROOT, name)).filter(existsSync);
  const settings = ['tsconfig.json', 'scripts/bundle.mjs'].map((name) => statSync(join(ROOT, name)).mtimeMs);
  const changed = Math.max(...settings, ...sources.map(newest));
  const stamp = join(ROOT, 'dist', '.built');
  if (existsSync(stamp) && statSync(stamp).mtimeMs > changed) return;
  say('building');
  await run(process.execPath, [join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', 'tsconfig.json']);
  await run(process.execPath, [join(ROOT, 'scripts', 'bundle.mjs')]);
  mkdirSync(join(ROOT, 'dist'), { recursive: true });
  writeFileSync(stamp, '');
}

function isInstalled(program) {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  return folders.some((folder) => existsSync(join(folder, program)));
}

async function installPrograms(wanted) {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return;
  const missing = Object.entries(wanted).filter(([program]) => !isInstalled(program));
  if (missing.length === 0) return;
  const packages = [...new Set(missing.map(([, name]) => name))];
  if (!isInstalled('apt-get')) {
    say(`missing: ${missing.map(([program]) => program).join(', ')}; install ${packages.join(' ')} (no apt-get here)`);
    return;
  }
  say(`installing Debian packages: ${packages.join(' ')}`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  try {
    await run('apt-get', ['update', '-qq'], env);
    await run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...packages], env);
  } catch {
    say(`apt-get could not install ${packages.join(' ')}: what needs them will say so`);
  }
}

checkNode();
try {
  await installPackages();
  await build();
} catch (error) {
  fail(error.message);
}
// In one go: each start of apt-get costs seconds.
const asked = Object.entries(PROGRAMS).filter(([flag]) => process.argv.includes(flag));
await installPrograms(Object.assign({}, ...asked.map(([, programs]) => programs)));
