// Makes the files of the vm tier, and runs a command in a virtual machine with Debian's stock kernel.
// Usage: in-vm.mjs ROOT CACHE SHARE NAMES PROGRAM [ARGUMENT ...]
// SHARE is the folder that the command may write to, NAMES the environment variables that it gets, with commas between.
import { runInVm } from '../vm.mjs';
import { bundleVm } from './bundle-vm.mjs';

const [root, cache, share, names, ...command] = process.argv.slice(2);
const given = names.split(',').flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]]));
try {
  await bundleVm(root);
  const code = await runInVm({
    command,
    env: { HOME: '/root', ...Object.fromEntries(given) },
    cwd: root,
    share,
    cache,
  });
  if (code === undefined) throw new Error('the machine ended before the command did');
  process.exitCode = code;
} catch (error) {
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}
