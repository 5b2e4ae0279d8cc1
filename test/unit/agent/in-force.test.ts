/** The order in which rules come and go. What the kernel makes of it: kernel/commands.test.ts, kernel/iptables.test.ts. */
import { expect, it } from 'vitest';
import { KERNEL, type Kernel } from '../../../agent/kernel/driver.js';
import { KernelError } from '../../../agent/kernel/errors.js';
import type { LoadedTable } from '../../../agent/kernel/loaded.js';
import { planLoad, unload } from '../../../agent/kernel/load.js';
import { besideIptables, compile, DEFAULT_OPTIONS, iptablesProgram, EMPTY_PROGRAM } from '../../../compiler/index.js';
import { EMPTY_TOPOLOGY } from '../../../compiler/model/index.js';

const { policy, ruleset } = compile(EMPTY_TOPOLOGY, () => true, DEFAULT_OPTIONS);
const program = iptablesProgram(policy, DEFAULT_OPTIONS);
const WANTED = {
  nftables: { tables: ruleset.tables, iptables: undefined },
  iptables: { tables: besideIptables(policy, DEFAULT_OPTIONS), iptables: program },
};

/**
 * A kernel that says what it is asked to do.
 * @param loaded tables at the first look, at the second, ...
 * @param refusals how often a transaction is refused.
 */
function host(done: string[], loaded: readonly (readonly LoadedTable[])[] = [[]], refusals = 0): Kernel {
  let [looks, refused] = [0, 0];
  const say = <T>(what: string, answer: T): Promise<T> => {
    done.push(what);
    return Promise.resolve(answer);
  };
  return {
    ...KERNEL,
    compare: async (wanted) => {
      const tables = loaded[Math.min(looks++, loaded.length - 1)] ?? [];
      return Promise.resolve({ wanted: wanted(), loaded: tables, areBodiesKnown: true, byNft: undefined });
    },
    wouldApply: async () => Promise.resolve(true),
    applyText: async () => {
      if (refused++ < refusals) throw new KernelError('refused', 'not today');
      await say('tables', undefined);
    },
    iptables: {
      ...KERNEL.iptables,
      read: async () => Promise.resolve(EMPTY_PROGRAM),
      left: async () => Promise.resolve(new Map([['legacy', program]])),
      carryOut: async () => say('rules of iptables', undefined),
      remove: async (kept) => say(`iptables goes but for: ${kept.join(' ')}`, true),
      wouldTake: async () => Promise.resolve(true),
      defaultFlavour: async () => Promise.resolve('nft'),
    },
  };
}

const TABLE: LoadedTable = {
  ...{ family: 'inet' as const, name: 'portcullis', oddities: '', isOwnedByAnother: false },
  ...{ sets: new Map(), chains: new Map(), bodies: new Map() },
};

it('new rules are in force before old ones go, whichever packet filter has which', async () => {
  const done: string[] = [];
  const kernel = host(done);
  await (await planLoad(kernel, WANTED.iptables)).apply();
  await (await planLoad(kernel, WANTED.nftables)).apply();
  expect(await unload(kernel, 'delete table inet portcullis\n')).toBe(true);
  expect(done).toEqual([
    ...['rules of iptables', 'tables', 'iptables goes but for: default'],
    ...['tables', 'iptables goes but for: '],
    ...['tables', 'iptables goes but for: '],
  ]);
});

it('what is refused is tried once more where somebody else changed our tables, and nothing of the old rules goes before', async () => {
  const done: string[] = [];
  await (await planLoad(host(done, [[], [TABLE]], 1), WANTED.nftables)).apply();
  expect(done.at(-1)).toBe('iptables goes but for: ');
  const untouched: string[] = [];
  for (const [loaded, refusals] of [
    [[[]], 1],
    [[[], [TABLE]], 2],
  ] as const) {
    const plan = await planLoad(host(untouched, loaded, refusals), WANTED.nftables);
    await expect(plan.apply()).rejects.toThrow('not today');
  }
  expect(untouched).toEqual([]);
});
