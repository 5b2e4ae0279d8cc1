/** The fixed part: the chains of a family's mangle table that every port shares. */
import { DIRECTIONS, type Direction, type Family } from '../model/index.js';
import type { CompileOptions } from '../options.js';
import { flowBits, type FlowBits } from '../ruleset/admission.js';
import { owedBits } from '../ruleset/guard.js';
import { ADMIT_CHAIN, chainName, DROP, PASS } from './names.js';
import { SPOOFED } from './port.js';
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

const hex = (value: number): string => `0x${value.toString(16)}`;
const carries = (set: number, unset = 0): string => `-m connmark --mark ${hex(set)}/${hex((set | unset) >>> 0)}`;
export const runs = (direction: 'ORIGINAL' | 'REPLY'): string => `-m conntrack --ctdir ${direction}`;
export const gives = (bit: number): string => `-j CONNMARK --set-xmark ${hex(bit)}/${hex(bit)}`;

/**
 * Of a flow that the port admitted. They stand first: most packets are of one, and no flow of services has the bits. But ICMPv6 goes the long
 * way, since a redirect belongs to a flow and no port may send one.
 */
export function admittedRules(
  direction: Direction,
  family: Family,
  { originator, responder, revoked }: FlowBits,
): readonly string[] {
  const [began, answers] = direction === 'egress' ? [originator, responder] : [responder, originator];
  const notIcmp = family === 'IPv4' ? '' : '! -p ipv6-icmp ';
  return [
    `${notIcmp}${carries(began, revoked)} ${runs('ORIGINAL')} ${PASS}`,
    `${notIcmp}${carries(answers, revoked)} ${runs('REPLY')} ${PASS}`,
  ];
}

/** Asks for what connection tracking makes nothing of. */
export const INVALID = '-m conntrack --ctstate INVALID';

/** As in ruleset/admission.ts. */
function stateRules(direction: Direction, family: Family, bits: FlowBits): readonly string[] {
  const { originator, responder, revoked } = bits;
  const icmp = family === 'IPv4' ? 'icmp' : 'ipv6-icmp';
  return [
    ...(family === 'IPv4' ? [] : admittedRules(direction, family, bits).map((rule) => rule.replace('! ', ''))),
    '-m conntrack --ctstate NEW -j RETURN',
    `-m conntrack --ctstate RELATED,ESTABLISHED ${carries(revoked)} ${DROP}`,
    // Linux calls UDP-Lite invalid as it is sent.
    `! -p udplite ${INVALID} ${DROP}`,
    ...[originator, responder].map(
      (bit) => `! -p ${icmp} -m conntrack --ctstate RELATED ${carries(bit)} -g ${ADMIT_CHAIN[direction]}`,
    ),
  ];
}

function admitChains(family: Family, { originator, responder }: FlowBits): readonly IptablesChain[] {
  // What is for several stations is judged for each of them.
  const toSeveral = ['broadcast', 'multicast'].map((type) => `-m pkttype --pkt-type ${type} ${PASS}`);
  return [
    { name: ADMIT_CHAIN.egress, rules: [`${runs('ORIGINAL')} ${gives(originator)}`, PASS] },
    {
      name: ADMIT_CHAIN.ingress,
      rules: [...toSeveral, `${toDhcpServer(family)} ${PASS}`, `${runs('ORIGINAL')} ${gives(responder)}`, PASS],
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
  const paid = `-j MARK --set-xmark 0x0/${hex((egress | ingress) >>> 0)}`;
  return [
    { name: SPOOFED, rules: [DROP] },
    { name: chainName('pass'), rules: [paid, '-j ACCEPT'] },
    ...admitChains(family, bits),
    ...DIRECTIONS.map((direction) => ({ name: STATE[direction], rules: stateRules(direction, family, bits) })),
    {
      name: LINK_LOCAL_ONLY,
      rules: family === 'IPv6' ? ['-d fe80::/10 -j RETURN', '-d ff02::/16 -j RETURN', DROP] : [DROP],
    },
    ...DIRECTIONS.map((direction) => ({ name: SERVICE[direction], rules: serviceRules(direction, family) })),
  ];
}
