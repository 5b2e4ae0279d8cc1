// Runs a command on Debian's stock kernel, in a virtual machine that sees this machine's files: for what the running
// kernel lacks. The files are shared read-only; what the command writes is gone with the machine, but for one folder.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';

const QEMU = 'qemu-system-x86_64';
/** What the machine itself, the tests and our rulesets need; nothing loads modules by itself in there. */
const MODULES = [
  ...[
    'crc32c_generic',
    'virtio_pci',
    '9pnet_virtio',
    '9p',
    'overlay',
    'veth',
    'bridge',
    'br_netfilter',
    '8021q',
    'dummy',
  ],
  ...['nf_tables', 'nft_meta_bridge', 'nft_reject_bridge', 'nft_ct', 'nf_conntrack_bridge', 'nf_conntrack_netlink'],
  ...['nft_fib_inet', 'nft_limit', 'nft_log', 'nft_hash', 'nft_numgen', 'nft_nat', 'nft_chain_nat', 'sctp'],
];

/**
 * A kernel that stands still says so every half minute, which looks like progress: it ends instead, with where each processor stands. Emulation
 * on a busy machine takes its time: two minutes (twice watchdog_thresh). Documentation/admin-guide/kernel-parameters.txt.
 */
const KERNEL_OPTIONS = [
  ...['console=ttyS0', 'quiet', 'loglevel=1', 'panic=-1'],
  ...['watchdog_thresh=60', 'softlockup_panic=1', 'softlockup_all_cpu_backtrace=1'],
  // Nobody is to be kept from anybody in there, and what keeps them apart costs an eighth of the processor when it is emulated.
  'mitigations=off',
];

/** Why no machine can be started here; undefined when one can. */
export function vmObstacle() {
  if (process.platform !== 'linux' || process.arch !== 'x64') return 'it needs Linux on x86-64';
  if (process.getuid?.() !== 0) return 'it needs root, to read every file that it shares';
  for (const program of [QEMU, 'busybox', 'dpkg-deb', 'apt-get']) {
    if (spawnSync('which', [program], { stdio: 'ignore' }).status !== 0) return `missing program: ${program}`;
  }
  return undefined;
}

/** The unpacked kernel package, fetched once into `cache`. Throws when there is none to fetch. */
function fetchKernel(cache) {
  const tree = join(cache, 'tree');
  if (existsSync(tree)) return tree;
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-kernel-'));
  try {
    const depends = execFileSync('apt-cache', ['depends', 'linux-image-amd64'], { encoding: 'utf8' });
    const name = /Depends: (linux-image-\S+)/.exec(depends)?.[1];
    if (name === undefined) throw new Error('no package linux-image-amd64 is to be had');
    execFileSync('apt-get', ['download', '-qq', name], { cwd: folder, stdio: 'ignore' });
    const [file] = readdirSync(folder);
    execFileSync('dpkg-deb', ['-x', join(folder, file), join(folder, 'tree')]);
    mkdirSync(cache, { recursive: true });
    execFileSync('cp', ['-r', join(folder, 'tree'), `${tree}.new`]);
    execFileSync('mv', [`${tree}.new`, tree]);
    return tree;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Paths of the modules, each after those that it depends on (modinfo's `depends`, in the file itself). */
function modulesInOrder(folder) {
  const files = new Map();
  for (const entry of readdirSync(folder, { recursive: true })) {
    if (entry.endsWith('.ko')) files.set(basename(entry, '.ko').replaceAll('-', '_'), join(folder, entry));
  }
  const order = new Map();
  const add = (name) => {
    const file = files.get(name.replaceAll('-', '_'));
    // Built into the kernel.
    if (file === undefined || order.has(name)) return;
    const [, depends = ''] = /\0depends=([^\0]*)\0/.exec(`\0${readFileSync(file, 'latin1')}`) ?? [];
    for (const needed of depends.split(',').filter((one) => one !== '')) add(needed);
    order.set(name, file);
  };
  for (const name of MODULES) add(name);
  return [...order.values()];
}

const quote = (text) => `'${text.replaceAll("'", "'\\''")}'`;

function initScript(modules, { command, env, cwd, share }) {
  const settings = Object.entries(env).map(([name, value]) => `export ${name}=${quote(value)}`);
  return `#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /lower /upper /root
/bin/busybox mount -t proc proc /proc
${modules.map((name) => `/bin/busybox insmod /modules/${name}`).join('\n')}
/bin/busybox mount -t 9p -o trans=virtio,version=9p2000.L,ro,msize=1048576,cache=loose host /lower
/bin/busybox mount -t tmpfs tmpfs /upper
/bin/busybox mkdir /upper/changes /upper/work
/bin/busybox mount -t overlay -o lowerdir=/lower,upperdir=/upper/changes,workdir=/upper/work overlay /root
/bin/busybox mount -t proc proc /root/proc
/bin/busybox mount -t sysfs sysfs /root/sys
/bin/busybox mount -t devtmpfs devtmpfs /root/dev
/bin/busybox mount -t tmpfs tmpfs /root/run
/bin/busybox mkdir -p /root/run/netns /root${share}
/bin/busybox mount -t 9p -o trans=virtio,version=9p2000.L,msize=1048576 share /root${share}
/bin/busybox ip link set lo up
/bin/busybox cat > /root/run/command <<'COMMAND'
${settings.join('\n')}
set -o pipefail
# Through a pipe: the console is a terminal, and programs would draw on it.
cd ${quote(cwd)} && ${command.map(quote).join(' ')} 2>&1 | cat
echo $? > ${quote(join(share, 'exit-code'))}
COMMAND
/bin/busybox chroot /root /bin/bash /run/command
/bin/busybox poweroff -f
`;
}

/**
 * Runs a command in a machine of its own; its output goes to ours. Takes as long as the command does.
 * @param options.command program and arguments
 * @param options.share absolute path of a folder that the command may write to, and which is kept
 * @param options.cache folder where the kernel is kept from run to run
 * @returns {Promise<number | undefined>} the command's exit code; undefined when the machine ended before it
 */
export async function runInVm(options) {
  const tree = fetchKernel(options.cache);
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-vm-'));
  try {
    const root = join(folder, 'initramfs');
    for (const name of ['bin', 'modules']) mkdirSync(join(root, name), { recursive: true });
    const busybox = execFileSync('which', ['busybox'], { encoding: 'utf8' }).trim();
    copyFileSync(busybox, join(root, 'bin', 'busybox'));
    const modules = modulesInOrder(join(tree, 'lib', 'modules'));
    for (const file of modules) copyFileSync(file, join(root, 'modules', basename(file)));
    const init = initScript(
      modules.map((file) => basename(file)),
      options,
    );
    writeFileSync(join(root, 'init'), init, { mode: 0o755 });
    const image = join(folder, 'initramfs.cpio');
    execFileSync('sh', ['-c', `find . | busybox cpio -o -H newc > ${quote(image)}`], { cwd: root, stdio: 'ignore' });
    const kernel = readdirSync(join(tree, 'boot')).find((name) => name.startsWith('vmlinuz'));
    const shared = (path, tag, more) => [
      '-virtfs',
      `local,path=${path},mount_tag=${tag},security_model=none,multidevs=remap${more}`,
    ];
    const machine = spawn(
      QEMU,
      [
        ...['-m', '2048', '-smp', '2', '-nodefaults', '-no-reboot', '-display', 'none', '-serial', 'stdio'],
        ...['-accel', 'tcg,thread=multi', '-cpu', 'max'],
        ...shared('/', 'host', ',readonly=on'),
        ...shared(options.share, 'share', ''),
        ...['-kernel', join(tree, 'boot', kernel), '-initrd', image],
        ...['-append', KERNEL_OPTIONS.join(' ')],
      ],
      { stdio: ['ignore', 'inherit', 'inherit'] },
    );
    const end = () => machine.kill('SIGKILL');
    for (const name of ['SIGTERM', 'SIGINT']) process.once(name, end);
    await new Promise((resolve, reject) => {
      machine.once('error', reject);
      machine.once('exit', resolve);
    });
    const result = join(options.share, 'exit-code');
    return existsSync(result) ? Number(readFileSync(result, 'utf8')) : undefined;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
