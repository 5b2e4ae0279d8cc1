/** The program as text for `ipset restore`, `iptables-restore --noflush` and `ip6tables-restore --noflush`. */
import type { Family } from '../../src/model/index.js';
import type { IpSet, IptablesChain, IptablesProgram } from './types.js';

/** Addresses of a member set, at most; the kernel's default is 65 536. */
const MAX_ELEMENTS = 1_048_576;

/** Loads the sets: each is there, and holds what it should and nothing else. To be loaded before the rules. */
export function printIpsets({ sets }: IptablesProgram): string {
  return sets.map(printSet).join('');
}

function printSet(set: IpSet): string {
  return [
    `create ${set.name} ${declaration(set)} -exist`,
    `flush ${set.name}`,
    ...set.entries.map((entry) => `add ${set.name} ${entry}`),
  ]
    .map((line) => `${line}\n`)
    .join('');
}

function declaration({ type, family }: IpSet): string {
  switch (type) {
    case 'bitmap:port':
      return `${type} range 0-65535`;
    case 'hash:ip':
    case 'hash:net':
      return `${type} family ${family === 'IPv4' ? 'inet' : 'inet6'} maxelem ${MAX_ELEMENTS.toString()}`;
  }
}

/** Loads one family's rules, a table at a time, each at once. Chains of others are left alone. */
export function printIptables(program: IptablesProgram, family: Family): string {
  const { raw, mangle } = program.families[family];
  return [...(raw.length > 0 ? [printTable('raw', raw)] : []), printTable('mangle', mangle)].join('');
}

const OF_THE_KERNEL = /^[A-Z]+$/;

/** A chain that is named is made, or emptied; the kernel's own get our jump behind what is there. */
function printTable(name: string, chains: readonly IptablesChain[]): string {
  const ours = chains.filter((chain) => !OF_THE_KERNEL.test(chain.name));
  const hooks = chains.filter((chain) => OF_THE_KERNEL.test(chain.name));
  return [
    `*${name}`,
    ...ours.map((chain) => `:${chain.name} - [0:0]`),
    ...ours.flatMap((chain) => chain.rules.map((rule) => `-A ${chain.name} ${rule}`)),
    ...hooks.flatMap((chain) => chain.rules.map((rule) => `-A ${chain.name} ${rule}`)),
    'COMMIT',
  ]
    .map((line) => `${line}\n`)
    .join('');
}
