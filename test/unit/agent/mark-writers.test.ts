import { expect, it } from 'vitest';
import { iptablesWriters, nftWriters } from '../../../agent/kernel/mark-writers.js';

it('names rules of others that write whole marks, and no others', () => {
  const listed = `table ip qos {
\tchain f {
\t\ttype filter hook forward priority mangle; policy accept;
\t\tct mark set 0x00000005
\t\tct mark set ct mark & 0xffffff00 | 0x00000005
\t\tct mark set meta mark
\t\tmeta mark set ct mark
\t\tmeta mark set 0x00000007
\t\tmeta mark set meta mark & 0xffffff00 | 0x00000007
\t\tcounter packets 0 bytes 0 meta mark set mark and 0xf3ffffff
\t\tcounter packets 0 bytes 0 ct mark set ct mark or 0x40000000
\t}
}
`;
  const flows = ['ct mark set 0x00000005', 'ct mark set meta mark'].map((rule) => `nft table ip qos, chain f: ${rule}`);
  const packets = ['meta mark set ct mark', 'meta mark set 0x00000007'].map(
    (rule) => `nft table ip qos, chain f: ${rule}`,
  );
  expect(nftWriters(listed, ['conntrack'])).toEqual(flows);
  expect(nftWriters(listed, ['conntrack', 'packet'])).toEqual([...flows, ...packets]);
  const rules = [
    '*mangle',
    '-A PREROUTING -j CONNMARK --set-xmark 0x5/0xffffffff',
    '-A PREROUTING -j CONNMARK --set-xmark 0x5/0xff',
    '-A POSTROUTING -m mark ! --mark 0x0 -j CONNMARK --save-mark --nfmask 0xffffffff --ctmask 0xffffffff',
    '-A POSTROUTING -j CONNMARK --save-mark --nfmask 0xff --ctmask 0xff',
    '-A PREROUTING -j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff',
    '-A PREROUTING -j MARK --set-xmark 0x7/0xffffffff',
    '-A PREROUTING -j MARK --set-xmark 0x7/0xff',
    '-A pc-admit_out -j CONNMARK --set-xmark 0x20000000/0xffffffff',
  ];
  const named = (...indices: readonly number[]): readonly string[] =>
    indices.map((index) => `iptables mangle: ${rules[index] ?? ''}`);
  const listing = { program: 'iptables', rules: rules.join('\n') };
  expect(iptablesWriters(listing, ['conntrack'])).toEqual(named(1, 3));
  expect(iptablesWriters(listing, ['packet'])).toEqual(named(5, 6));
});
