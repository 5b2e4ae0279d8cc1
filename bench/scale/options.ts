/** The options of `npm run simulate`. */
import { parseArgs } from 'node:util';
import type { CloudShape, GroupSize } from './cloud.js';

export interface Options extends CloudShape {
  /** A second. */
  readonly changes: number;
  readonly seconds: number;
  /** Of etcd. */
  readonly members: number;
  /** Real processes; 0 for the model alone. */
  readonly agents: number;
  readonly json: boolean;
}

/** An option that cannot be used; one line. */
export class OptionError extends Error {
  override readonly name = 'OptionError';
}

/** Half of the ports in groups of ten, as of small projects; a fifth in groups of a thousand. */
const GROUP_SIZES = '10:50,100:30,1000:20';

/** @throws OptionError */
export function readOptions(args: readonly string[]): Options {
  let values: Readonly<Record<string, string | boolean | undefined>>;
  try {
    ({ values } = parseArgs({
      args: [...args],
      options: {
        hosts: { type: 'string', default: '1000' },
        ports: { type: 'string', default: '20' },
        'group-sizes': { type: 'string', default: GROUP_SIZES },
        changes: { type: 'string', default: '1' },
        seconds: { type: 'string', default: '60' },
        members: { type: 'string', default: '3' },
        agents: { type: 'string', default: '200' },
        seed: { type: 'string', default: '1' },
        quick: { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
      },
    }));
  } catch (error) {
    throw new OptionError(error instanceof Error ? error.message : String(error));
  }
  const whole = (name: string, least: number, most: number): number => {
    const value = Number(values[name]);
    if (Number.isInteger(value) && value >= least && value <= most) return value;
    throw new OptionError(`--${name}: valid is a whole number from ${least} to ${most}`);
  };
  const quick = { hosts: 40, ports: 10, changes: 5, seconds: 20, members: 3, agents: 8 };
  const given = {
    // As many ports as the cloud's addresses and names have numbers for.
    hosts: whole('hosts', 1, 99_999),
    ports: whole('ports', 1, 1000),
    changes: whole('changes', 1, 1000),
    seconds: whole('seconds', 1, 86_400),
    members: whole('members', 1, 7),
    agents: whole('agents', 0, 2000),
  };
  const options = {
    ...(values['quick'] === true ? quick : given),
    groupSizes: groupSizes(String(values['group-sizes'])),
    seed: whole('seed', 0, 2 ** 31),
    json: values['json'] === true,
  };
  if (options.hosts * options.ports > 4_000_000) throw new OptionError('--hosts, --ports: at most 4 000 000 ports');
  if (options.agents > options.hosts) throw new OptionError('--agents: more than hosts');
  return options;
}

function groupSizes(text: string): readonly GroupSize[] {
  return text.split(',').map((part) => {
    const [, size, share] = /^([1-9]\d*):([1-9]\d*)$/.exec(part) ?? [];
    if (size === undefined)
      throw new OptionError(`--group-sizes: valid is SIZE:SHARE[,SIZE:SHARE…], as ${GROUP_SIZES}`);
    return { size: Number(size), share: Number(share) };
  });
}
