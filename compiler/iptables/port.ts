/** The chains of one port: its own addresses, then its profile. */
import {
  familyBits,
  ICMPV6,
  makePrefix,
  parsePrefix,
  type Family,
  type Mac,
  type Port,
  type Prefix,
} from '../model/index.js';
import { linkLocalAddress, ownAddresses, ownMacs } from '../host-policy.js';
import { serviceTraffic, type ServiceTraffic, type ServiceVerdict } from '../ruleset/service-traffic.js';
import { chainName } from './names.js';
import { goTo, jumpTo, narrowing, PASS, type IptablesRule, type Match, type Target } from './rule.js';
import { serviceTarget, serviceTests, UDP } from './services.js';
import type { IptablesChain } from './types.js';

/** The chain of the fixed part where what is not the port's own ends. */
export const SPOOFED = chainName('spoofed');

/** Length of the IPv6 header and offset of the target behind it (RFC 4861, 4.3), in bytes. */
const ND_TARGET_OFFSET = 40 + 8;
/** The next header, read as the last of four bytes; it must be ICMPv6 itself, or the offset means nothing. */
const NO_EXTENSIONS = '0x3&0xff=0x3a';

export function fromPortName(device: string): string {
  return chainName(`from_${device}`);
}

/** Names of all chains that a port's egress may have. */
export function portChainNames(device: string): readonly string[] {
  return [fromPortName(device), ownName(device), targetsName(device)];
}

function ownName(device: string): string {
  return chainName(`own_${device}`);
}

function targetsName(device: string): string {
  return chainName(`nd_${device}`);
}

/**
 * What a port may send from.
 * @param rules of the chain that its packets come to first, as they are loaded.
 */
export function readSources(rules: readonly IptablesRule[], family: Family): readonly string[] {
  return rules.flatMap(({ source, destination, input, output, protocol, notProtocol, matches = [], target }) => {
    const isMore = (destination ?? input ?? output ?? protocol ?? notProtocol) !== undefined || matches.length > 1;
    if (isMore || matches[0]?.kind !== 'mac' || target?.kind !== 'goto') return [];
    if (source === undefined) return [makePrefix(family, 0n, 0).text];
    return [parsePrefix(source.text)?.text ?? source.text];
  });
}

/** Chains of a filtered port's egress, those that are led to first. `profile` is where what is its own goes on. */
export function egressChains(port: Port, family: Family, profile: string): readonly IptablesChain[] {
  switch (family) {
    case 'IPv4':
      return [egress4(port, profile)];
    case 'IPv6':
      return egress6(port, profile);
  }
}

interface Source {
  readonly mac: Mac;
  readonly prefix: Prefix;
}

function sourcesOf(port: Port, family: Family): readonly Source[] {
  const linkLocal = ownMacs(port).map((mac) => ({ mac, prefix: linkLocalAddress(mac) }));
  const sources = [...ownAddresses(port), ...linkLocal].filter(({ prefix }) => prefix.family === family);
  return [...new Map(sources.map((source) => [`${source.mac} ${source.prefix.text}`, source])).values()];
}

/** Where everything ends that is not the port's own. */
const ELSE_SPOOFED: IptablesRule = { target: jumpTo(SPOOFED) };

interface Test {
  readonly test: Match;
  readonly verdict: ServiceVerdict;
}

function testsOf(traffic: Partial<ServiceTraffic>): readonly Test[] {
  return serviceTraffic(traffic).flatMap(({ match, verdict }) =>
    serviceTests(match).map((test) => ({ test, verdict })),
  );
}

/** What a port may send before it has an address, by family. */
const UNADDRESSED = {
  IPv4: testsOf({ source: 'none', family: 'IPv4' }),
  IPv6: testsOf({ source: 'none', family: 'IPv6' }),
} as const satisfies Record<Family, unknown>;
/** What goes on only if its target is the port's own. */
const TARGETED = testsOf({ source: 'own', verdict: 'own-target' });

const NOBODY = makePrefix('IPv4', 0n, 32);
const EVERYBODY = makePrefix('IPv4', 0xffff_ffffn, 32);

function egress4(port: Port, profile: string): IptablesChain {
  const target = goTo(profile);
  const discover = (mac: Mac): readonly IptablesRule[] =>
    UNADDRESSED.IPv4.map(({ test, verdict }) => ({
      source: NOBODY,
      destination: EVERYBODY,
      protocol: UDP,
      matches: [isFrom(mac), test],
      target: serviceTarget(verdict, SPOOFED),
    }));
  return {
    name: fromPortName(port.device),
    rules: [
      ...sourcesOf(port, 'IPv4').map((source) => ownRule(source, target)),
      ...ownMacs(port).flatMap(discover),
      ELSE_SPOOFED,
    ],
  };
}

const UNSPECIFIED = makePrefix('IPv6', 0n, 128);
/** Multicast within the link (RFC 4291, 2.7). */
const LINK_MULTICAST = makePrefix('IPv6', 0xff02n << 112n, 16);

function egress6(port: Port, profile: string): readonly IptablesChain[] {
  const [targets, own] = [targetsName(port.device), ownName(port.device)];
  const [toTargets, toOwn] = [goTo(targets), goTo(own)];
  const sources = sourcesOf(port, 'IPv6');
  const distinct = [...new Map(sources.map(({ prefix }) => [prefix.text, prefix])).values()];
  const unspecified = (mac: Mac): readonly IptablesRule[] =>
    UNADDRESSED.IPv6.map(({ test, verdict }) => ({
      source: UNSPECIFIED,
      destination: LINK_MULTICAST,
      protocol: ICMPV6,
      matches: [isFrom(mac), test],
      target: serviceTarget(verdict, targets),
    }));
  return [
    {
      name: targets,
      rules: [...distinct.map((prefix) => ({ matches: [isTarget(prefix)], target: PASS })), ELSE_SPOOFED],
    },
    {
      name: own,
      rules: [
        ...TARGETED.map(({ test }) => ({ protocol: ICMPV6, matches: [test], target: toTargets })),
        { target: goTo(profile) },
      ],
    },
    {
      name: fromPortName(port.device),
      rules: [...sources.map((source) => ownRule(source, toOwn)), ...ownMacs(port).flatMap(unspecified), ELSE_SPOOFED],
    },
  ];
}

function ownRule({ mac, prefix }: Source, target: Target): IptablesRule {
  return { source: narrowing(prefix), matches: [isFrom(mac)], target };
}

function isFrom(mac: Mac): Match {
  return { kind: 'mac', mac };
}

/** The target of neighbour discovery, four bytes at a time: ip6tables has no match of its own for it. */
function isTarget(prefix: Prefix): Match {
  const bits = familyBits('IPv6');
  const mask = ((1n << BigInt(prefix.length)) - 1n) << BigInt(bits - prefix.length);
  const tests = [NO_EXTENSIONS];
  for (let word = 0; word < 4; word++) {
    const shift = BigInt(96 - 32 * word);
    const part = (value: bigint): string => `0x${((value >> shift) & 0xffff_ffffn).toString(16)}`;
    // The last word is read in any case: a packet without a target matches nothing.
    if (part(mask) === '0x0' && word < 3) continue;
    const offset = (ND_TARGET_OFFSET + 4 * word).toString(16);
    tests.push(`0x${offset}&${part(mask)}=${part(prefix.network)}`);
  }
  return { kind: 'u32', tests: tests.join('&&') };
}
