// The command line of `npm test`.
import { randomInt } from 'node:crypto';

export const USAGE = `usage: npm test -- [options] [vitest arguments]
  --tier NAME    only this tier (again for more): unit, kernel, client, container, vm
  --only TEXT    only the files whose path has it or, where no path has, the tests whose name has it
  --seed N       the random tests of an earlier run again
  --quick        the unit tier and the worked example in the kernel
`;

export class UsageError extends Error {}

/**
 * @param {readonly string[]} args
 * @param {readonly string[]} names of the tiers there are
 * @throws {UsageError}
 */
export function parseOptions(args, names) {
  const options = { tiers: [], only: undefined, seed: undefined, isQuick: false, rest: [] };
  const queue = [...args];
  const valueOf = (flag) => {
    const value = queue.shift();
    if (value === undefined || value.startsWith('--')) throw new UsageError(`${flag} needs a value`);
    return value;
  };
  while (queue.length > 0) {
    const [flag, ...rest] = queue.shift().split('=');
    if (rest.length > 0) queue.unshift(rest.join('='));
    switch (flag) {
      case '--tier': {
        const name = valueOf(flag);
        if (!names.includes(name)) throw new UsageError(`there is no tier ${name}: there are ${names.join(', ')}`);
        options.tiers.push(name);
        break;
      }
      case '--only':
        options.only = valueOf(flag);
        break;
      case '--seed':
        options.seed = valueOf(flag);
        break;
      case '--quick':
        options.isQuick = true;
        break;
      case '--help':
        throw new UsageError('');
      default:
        options.rest.push(rest.length > 0 ? `${flag}=${queue.shift()}` : flag);
    }
  }
  const seed = options.seed ?? process.env.PORTCULLIS_SEED ?? String(randomInt(2 ** 31));
  if (!/^\d+$/.test(seed) || Number(seed) >= 2 ** 31) throw new UsageError(`${seed} is no seed: 0 to 2147483647`);
  if (options.isQuick && options.tiers.length > 0) throw new UsageError('--quick has its own tiers');
  return { ...options, seed };
}
