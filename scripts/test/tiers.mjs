// The tiers: what each needs, and the command that runs it.
import { existsSync, readdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { containerObstacle } from '../container.mjs';
import { etcdObstacle } from '../etcd.mjs';
import { promtoolObstacle } from '../promtool.mjs';
import { vmObstacle } from '../vm.mjs';

/** How many times slower software emulation is than the machine itself. */
const EMULATION = 20;
/** What a command in a virtual machine gets of the environment. */
const NAMES = ['PATH', 'CI', 'PORTCULLIS_SEED', 'PORTCULLIS_SLOWNESS', 'PORTCULLIS_EVENTS', 'PORTCULLIS_PROGRESS'];
const KERNEL_PROGRAMS = ['nft', 'ip', 'conntrack', 'python3', 'faketime', 'ipset'];

function missingPrograms(names) {
  if (process.platform !== 'linux') return 'it needs Linux';
  if (process.getuid?.() !== 0) return 'it needs root';
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  const missing = names.filter((name) => !folders.some((at) => existsSync(join(at, name))));
  return missing.length > 0 ? `missing programs: ${missing.join(', ')}` : undefined;
}

const asItIs = ({ command }) => command;

/**
 * name; flags for scripts/setup.mjs; `obstacle` says why it cannot be run here, `command` what runs it, given vitest's command and where its
 * files are; `slowness` multiplies the machine's own; `fetches` says that it gets packages from outside. They begin in this order: the longest
 * ones first, and last the one that needs nothing but processors and can use all of them.
 */
export const TIERS = [
  {
    name: 'kernel',
    setup: ['--kernel'],
    obstacle: () => missingPrograms(KERNEL_PROGRAMS),
    command: asItIs,
    slowness: 1,
  },
  {
    name: 'vm',
    setup: ['--vm'],
    obstacle: vmObstacle,
    command: ({ root, scripts, cache, share, command }) => [
      process.execPath,
      join(scripts, 'test', 'in-vm.mjs'),
      ...[root, cache, share, NAMES.join(',')],
      ...command,
      ...[`--config=${join(scripts, 'test', 'vm.config.mjs')}`, '--configLoader=native', `--root=${root}`],
    ],
    slowness: EMULATION,
  },
  {
    name: 'client',
    setup: ['--kernel', '--client'],
    obstacle: (cache) =>
      missingPrograms([...KERNEL_PROGRAMS, 'openstack', 'jq']) ?? etcdObstacle(cache) ?? promtoolObstacle(cache),
    command: asItIs,
    slowness: 1,
  },
  {
    name: 'container',
    setup: ['--container'],
    obstacle: containerObstacle,
    command: ({ root, scripts, cache, command }) => [
      process.execPath,
      join(scripts, 'test', 'in-engine.mjs'),
      ...[root, cache],
      ...command,
    ],
    slowness: 1,
    fetches: true,
  },
  { name: 'unit', setup: [], obstacle: () => undefined, command: asItIs, slowness: 1 },
];

/** The worked example with real packets, as `npm start` shows it: part of `--quick`. */
export const EXAMPLE = {
  name: 'example',
  setup: ['--kernel'],
  obstacle: () => missingPrograms(['nft', 'ip']),
  command: ({ root }) => [process.execPath, join(root, 'dist', 'src', 'cli', 'demo', 'main.js')],
  slowness: 1,
};

/** Test files of a tier, from the project's root. */
export function testFiles(root, name) {
  const folder = join(root, 'test', name);
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true })
    .filter((file) => file.endsWith('.test.ts'))
    .map((file) => join('test', name, file));
}
