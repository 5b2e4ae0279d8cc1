/**
 * What iptables judges is guarded by nftables: a packet from or to a port owes a bit of its mark, which only the rules of ours that let it
 * pass in iptables take away (`pc-pass`); what still owes right behind them is dropped. So a port is closed while these rules are gone,
 * emptied, or passed by, whatever did it, and without anybody's notice.
 *
 * It is a debt and no permit, so that whoever writes whole marks in between (`meta mark set ct mark`) costs no packet its way.
 */
import type { Direction } from '../model/index.js';
import type { CompileOptions } from '../options.js';
import { ACCEPT, act, chain, counted, DROP, dropped, inSet, LAST, rule } from './build.js';
import type { Chain, Hook, Match, Rule } from './types.js';

/** Devices of ports; where the host routes those beside the managed prefix. */
export const GUARDED = 'guarded';

/** The priority of iptables' mangle table (linux/netfilter_ipv4.h): the debt is made right before it, and asked for right behind. */
const MANGLE = -150;
/** Of br_netfilter in the bridge family, which shows packets to iptables (linux/netfilter_bridge.h). */
const BR_NETFILTER = 0;

/** Bits of the packet mark. The third one of the three that are ours is for what br_netfilter shows: see `seenChains`. */
export function owedBits({ stateMark }: Pick<CompileOptions, 'stateMark'>): Readonly<Record<Direction, number>> {
  return { egress: stateMark * 2, ingress: stateMark * 4 };
}

export function owes(direction: Direction, options: CompileOptions): Match {
  const bit = owedBits(options)[direction];
  return { kind: 'packet-mark', mask: bit, value: bit };
}

function owe(direction: Direction, matches: readonly Match[], options: CompileOptions): Rule {
  const bit = owedBits(options)[direction];
  return { ...act({ kind: 'packet-mark', mask: bit, value: bit }, 'iptables is to judge it'), matches };
}

function base(name: string, comment: string, rules: readonly Rule[], hook: Hook['hook'], priority: number): Chain {
  return chain(name, comment, rules, { hook, priority });
}

/**
 * Chains of table inet where the host routes.
 * @param hasOthers whether there are devices in {@link GUARDED}: a packet of the managed prefix is not to pay for the question.
 */
export function routedGuard(hasOthers: boolean, options: CompileOptions): readonly Chain[] {
  const devices = (field: 'iifname' | 'oifname'): readonly Match[] => [
    ...options.devicePrefixes.map((prefix): Match => ({ kind: 'device-prefix', field, prefix })),
    ...(hasOthers ? [inSet([field], GUARDED)] : []),
  ];
  const pair = (direction: Direction, way: 'in' | 'out'): readonly Chain[] => {
    const [field, hook] = way === 'in' ? (['iifname', 'prerouting'] as const) : (['oifname', 'postrouting'] as const);
    const bit = owedBits(options)[direction];
    return [
      base(
        `owe_${way}`,
        'what iptables is to judge',
        devices(field).map((match) => owe(direction, [match], options)),
        hook,
        MANGLE - 1,
      ),
      base(
        `owed_${way}`,
        'what iptables did not let pass',
        [
          rule([{ kind: 'packet-mark', mask: bit, value: 0 }], ACCEPT, 'owes nothing'),
          ...devices(field).flatMap((match) =>
            dropped(direction, [match], 'our rules in iptables did not let it pass'),
          ),
        ],
        hook,
        MANGLE + 1,
      ),
    ];
  };
  return [...pair('egress', 'in'), ...pair('ingress', 'out')];
}

/**
 * Chains of table bridge: what a port sends owes before br_netfilter shows it, what crosses the bridge to a port owes behind iptables'
 * forward. What the host itself sends to a bridge is not judged: it crosses none.
 */
export function bridgeGuard(isIp: Match, options: CompileOptions): readonly Chain[] {
  const bit = owedBits(options).ingress;
  return [
    base(
      'owe_in',
      'what iptables is to judge',
      [owe('egress', [isIp, inSet(['iifname'], GUARDED)], options)],
      'prerouting',
      BR_NETFILTER - 1,
    ),
    base(
      'owe_forward',
      'what iptables is to judge',
      [
        act({ kind: 'packet-mark', mask: bit, value: 0 }, 'whatever others left there'),
        owe('ingress', [isIp, inSet(['oifname'], GUARDED)], options),
      ],
      'forward',
      LAST,
    ),
  ];
}

/** The chain of table inet beside it: in postrouting the port's device is known to table bridge and to iptables alone. */
export function owedToBridge(options: CompileOptions): Chain {
  return base(
    'owed_out',
    'what iptables did not let pass',
    [counted([owes('ingress', options)], DROP, 'our rules in iptables did not let it pass')],
    'postrouting',
    MANGLE + 1,
  );
}
