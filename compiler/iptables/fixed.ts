/** The fixed part: the chains of a family's mangle table that every port shares. */
import { DIRECTIONS, ICMP, ICMPV6, parsePrefix, type Direction, type Family } from '../model/index.js';
import type { CompileOptions } from '../options.js';
import { flowBits, type FlowBits } from '../ruleset/admission.js';
import { owedBits } from '../ruleset/guard.js';
import { ADMIT_CHAIN, chainName } from './names.js';
import { SPOOFED } from './port.js';
import { DROP, goTo, PASS, RETURN, type FlowDirection, type IptablesRule, type Match, type Target } from './rule.js';
import { serviceRules, toDhcpServer } from './services.js';
import type { IptablesChain, IptablesProgram } from './types.js';

export const STATE: Readonly<Record<Direction, string>> = {
  egress: chainName('state_out'),
  ingress: chainName('state_in'),
};
export const LINK_LOCAL_ONLY = chainName('link_local_only');
export const SERVICE: Readonly<Record<Direction, string>> = {
  egress: chainName('service_out'),
  ingress: chainName('service_in'),
};

const carries = (set: number, unset = 0): Match => ({ kind: 'connmark', value: set, mask: (set | unset) >>> 0 });
export const runs = (direction: FlowDirection): Match => ({ kind: 'direction', direction });
export const gives = (bit: number): Target => ({ kind: 'connmark', value: bit, mask: bit });

/**
 * Of a flow that the port admitted. They stand first: most packets are of one, and no flow of services has the bits. But ICMPv6 goes the long
 * way, since a redirect belongs to a flow and no port may send one.
 */
export function admittedRules(direction: Direction, family: Family, bits: FlowBits): readonly IptablesRule[] {
  return flowRules(direction, bits, family === 'IPv4' ? {} : { notProtocol: ICMPV6 });
}

function flowRules(
  direction: Direction,
  { originator, responder, revoked }: FlowBits,
  protocol: Pick<IptablesRule, 'protocol' | 'notProtocol'>,
): readonly IptablesRule[] {
  const [began, answers] = direction === 'egress' ? [originator, responder] : [responder, originator];
  return [
    { ...protocol, matches: [carries(began, revoked), runs('ORIGINAL')], target: PASS },
    { ...protocol, matches: [carries(answers, revoked), runs('REPLY')], target: PASS },
  ];
}

const isIn = (...states: readonly string[]): Match => ({ kind: 'state', states });

/** What connection tracking makes nothing of. */
const INVALID = 'INVALID';

/** True of a rule that asks for what connection tracking makes nothing of. */
export function isOfInvalid({ matches = [] }: IptablesRule): boolean {
  return matches.some((match) => match.kind === 'state' && match.states.includes(INVALID));
}

/** IANA protocol number. */
const UDP_LITE = 136;

/** As in ruleset/admission.ts. */
function stateRules(direction: Direction, family: Family, bits: FlowBits): readonly IptablesRule[] {
  const { originator, responder, revoked } = bits;
  return [
    ...(family === 'IPv4' ? [] : flowRules(direction, bits, { protocol: ICMPV6 })),
    { matches: [isIn('NEW')], target: RETURN },
    { matches: [isIn('RELATED', 'ESTABLISHED'), carries(revoked)], target: DROP },
    // Linux calls UDP-Lite invalid as it is sent.
    { notProtocol: UDP_LITE, matches: [isIn(INVALID)], target: DROP },
    ...[originator, responder].map((bit) => ({
      notProtocol: family === 'IPv4' ? ICMP : ICMPV6,
      matches: [isIn('RELATED'), carries(bit)],
      target: goTo(ADMIT_CHAIN[direction]),
    })),
  ];
}

function admitChains(family: Family, { originator, responder }: FlowBits): readonly IptablesChain[] {
  // What is for several stations is judged for each of them.
  const toSeveral = ['broadcast', 'multicast'].map((type): IptablesRule => ({
    matches: [{ kind: 'packet-type', type }],
    target: PASS,
  }));
  const begins = (bit: number): IptablesRule => ({ matches: [runs('ORIGINAL')], target: gives(bit) });
  const pass = { target: PASS };
  return [
    { name: ADMIT_CHAIN.egress, rules: [begins(originator), pass] },
    {
      name: ADMIT_CHAIN.ingress,
      rules: [...toSeveral, { ...toDhcpServer(family), target: PASS }, begins(responder), pass],
    },
  ];
}

/** True when these rules, or such ones, tell flows that ports admitted from others: then live flows carry the bits. */
export function iptablesHoldsAdmission({ families }: IptablesProgram): boolean {
  return families.IPv4.mangle.some(({ name }) => name === ADMIT_CHAIN.egress);
}

export function fixedChains(family: Family, options: CompileOptions): readonly IptablesChain[] {
  const bits = flowBits(options);
  const { egress, ingress } = owedBits(options);
  const paid: Target = { kind: 'mark', value: 0, mask: (egress | ingress) >>> 0 };
  const drop = { target: DROP };
  const linkLocal = ['fe80::/10', 'ff02::/16'].map((text): IptablesRule => ({
    destination: parsePrefix(text),
    target: RETURN,
  }));
  return [
    { name: SPOOFED, rules: [drop] },
    { name: chainName('pass'), rules: [{ target: paid }, { target: { kind: 'verdict', verdict: 'ACCEPT' } }] },
    ...admitChains(family, bits),
    ...DIRECTIONS.map((direction) => ({ name: STATE[direction], rules: stateRules(direction, family, bits) })),
    {
      name: LINK_LOCAL_ONLY,
      rules: family === 'IPv6' ? [...linkLocal, drop] : [drop],
    },
    ...DIRECTIONS.map((direction) => ({ name: SERVICE[direction], rules: serviceRules(direction, family) })),
  ];
}
