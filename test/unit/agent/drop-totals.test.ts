import { expect, it } from 'vitest';
import { DropCounter } from '../../../agent/drop-totals.js';
import { NetlinkError } from '../../../agent/netlink/socket.js';

/** What the kernel would say next, by `family set`. */
type Said = Readonly<Record<string, Readonly<Record<string, number>>>>;

function counter(): { readonly counter: DropCounter; say: (said: Said | undefined) => void } {
  let next: Said | undefined = {};
  return {
    counter: new DropCounter(async (family, _table, set) => {
      if (next === undefined) throw new NetlinkError('EPERM', 1);
      return Promise.resolve(new Map(Object.entries(next[`${family} ${set}`] ?? {})));
    }),
    say: (said) => {
      next = said;
    },
  };
}

it('totals begin at zero, whatever was counted before, and only grow: when sets forget, go, or cannot be read', async () => {
  const { counter: drops, say } = counter();
  const after = async (said: Said | undefined): Promise<unknown> => {
    say(said);
    const { dropped, audited } = await drops.totals();
    return [dropped.egress, dropped.ingress, audited.egress, audited.ingress];
  };
  expect(await after({ 'inet dropped_from_port': { tap1: 100 } })).toEqual([0, 0, 0, 0]);
  expect(await after({ 'inet dropped_from_port': { tap1: 103 } })).toEqual([3, 0, 0, 0]);
  // ARP is counted in a table of its own.
  const both = { 'inet dropped_from_port': { tap1: 103, tap2: 1 }, 'arp dropped_from_port': { tap1: 2 } };
  expect(await after(both)).toEqual([6, 0, 0, 0]);
  expect(await after({ 'inet dropped_from_port': { tap2: 1 } })).toEqual([6, 0, 0, 0]);
  expect(await after({ 'inet dropped_from_port': { tap1: 3 } })).toEqual([9, 0, 0, 0]);
  // The table was made anew.
  expect(await after({ 'inet dropped_from_port': { tap1: 1 } })).toEqual([10, 0, 0, 0]);
  expect(await after(undefined)).toEqual([10, 0, 0, 0]);
  // In audit mode: nothing of it is a drop.
  const audit = { 'inet audited_to_port': { tap1: 5 }, 'bridge audited_from_port': { tap1: 1 } };
  expect(await after(audit)).toEqual([10, 0, 1, 5]);
  expect(await after({ 'inet dropped_to_port': { tap1: 7 } })).toEqual([10, 7, 1, 5]);
});
