import { expect, it } from 'vitest';
import { DropCounter } from '../../../agent/drop-totals.js';
import { iptablesCountersIn } from '../../../agent/kernel/iptables-counters.js';
import { NetlinkError } from '../../../agent/netlink/socket.js';

/** What the kernel would say next, by `family set`. */
type Said = Readonly<Record<string, Readonly<Record<string, number>>>>;

function counter(): { readonly counter: DropCounter; say: (said: Said | undefined) => void } {
  let next: Said | undefined = {};
  return {
    counter: new DropCounter('nftables', async (family, _table, set) => {
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

it('with iptables what its rules drop counts, too, by the direction of their chains', async () => {
  const listing = (first: number): string =>
    [
      `[${first.toString()}:1] -A pc-profile_4f6a_in -j DROP`,
      '[5:1] -A pc-spoofed -j DROP',
      '[6:1] -A pc-sg_web_in -p tcp -g pc-admit_in',
    ].join('\n');
  let now = listing(2);
  const drops = new DropCounter(
    'iptables',
    async () => Promise.resolve(new Map()),
    async () => Promise.resolve(iptablesCountersIn('IPv4', now)),
  );
  await drops.totals();
  now = listing(9);
  expect((await drops.totals()).dropped).toEqual({ egress: 0, ingress: 7 });
  now = `${listing(9)}\n[3:1] -A pc-egress -i tap+ -j DROP`;
  expect((await drops.totals()).dropped).toEqual({ egress: 3, ingress: 7 });
  // A port that is closed, in the tree of many devices; a device whose name ends as those of chains do.
  now = `${listing(9)}\n[4:1] -A pc-to-tap -o tap1 -j DROP\n[6:1] -A pc-from_tap_in -s 0.0.0.0/32 -j DROP`;
  expect((await drops.totals()).dropped).toEqual({ egress: 9, ingress: 11 });
});
