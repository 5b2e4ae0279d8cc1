import { expect, it } from 'vitest';
import { iptablesWriters, nftWriters } from '../../../agent/kernel/mark-writers.js';

it('names rules of others that write whole conntrack marks, and no others', () => {
  const listed = `table ip qos {
\tchain f {
\t\ttype filter hook forward priority mangle; policy accept;
\t\tct mark set 0x00000005
\t\tct mark set ct mark & 0xffffff00 | 0x00000005
\t\tct mark set meta mark
\t\tmeta mark set ct mark
\t}
}
table inet portcullis {
\tchain admit_out {
\t\tct mark set 0x00000005
\t}
}
`;
  expect(nftWriters(listed)).toEqual([
    'nft table ip qos, chain f: ct mark set 0x00000005',
    'nft table ip qos, chain f: ct mark set meta mark',
  ]);
  const rules = [
    '*mangle',
    '-A PREROUTING -j CONNMARK --set-xmark 0x5/0xffffffff',
    '-A PREROUTING -j CONNMARK --set-xmark 0x5/0xff',
    '-A POSTROUTING -m mark ! --mark 0x0 -j CONNMARK --save-mark --nfmask 0xffffffff --ctmask 0xffffffff',
    '-A POSTROUTING -j CONNMARK --save-mark --nfmask 0xff --ctmask 0xff',
    '-A PREROUTING -j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff',
    '-A pc-admit_out -j CONNMARK --set-xmark 0x20000000/0xffffffff',
  ];
  expect(iptablesWriters('iptables', rules.join('\n'))).toEqual(
    [rules[1], rules[3]].map((rule) => `iptables mangle: ${rule ?? ''}`),
  );
});
