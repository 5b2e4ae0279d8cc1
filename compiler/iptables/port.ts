/** The chains of one port: its own addresses, then its profile. */
import { ICMPV6, makePrefix, parsePrefix, type Family, type Mac, type Port, type Prefix } from '../model/index.js';
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

/** Where everything ends that is not the port's own. */
const ELSE_SPOOFED: IptablesRule = { target: jumpTo(SPOOFED) };
const TO_SPOOFED = goTo(SPOOFED);

interface Test {
  readonly test: Match;
  readonly verdict: ServiceVerdict;
}

function testsOf(traffic: Partial<ServiceTraffic>): readonly Test[] {
  return serviceTraffic(traffic).flatMap(({ match, verdict }) =>
    serviceTests(match).map((test) => ({ test, verdict })),
  );
}

/** What goes on only if its target is the port's own. */
const TARGETED = testsOf({ source: 'own', verdict: 'own-target' });

const NOBODY = makePrefix('IPv4', 0n, 32);
const EVERYBODY = makePrefix('IPv4', 0xffff_ffffn, 32);
const UNSPECIFIED = makePrefix('IPv6', 0n, 128);
/** Multicast within the link (RFC 4291, 2.7). */
const LINK_MULTICAST = makePrefix('IPv6', 0xff02n << 112n, 16);

/** What a port may send before it has an address, by family. */
const UNADDRESSED = {
  IPv4: { source: NOBODY, destination: EVERYBODY, protocol: UDP, tests: testsOf({ source: 'none', family: 'IPv4' }) },
  IPv6: {
    source: UNSPECIFIED,
    destination: LINK_MULTICAST,
    protocol: ICMPV6,
    tests: testsOf({ source: 'none', family: 'IPv6' }),
  },
} as const satisfies Record<Family, unknown>;

/**
 * Chains of a filtered port's egress, those that are led to first. A host has many of them: what rules have in common is one object, and lists
 * are joined by `concat`, which keeps no room for more.
 * @param profile where what is its own goes on.
 */
export function egressChains(port: Port, profile: Target): Readonly<Record<Family, readonly IptablesChain[]>> {
  const asked = new Map(ownMacs(port).map((mac): [Mac, Match] => [mac, { kind: 'mac', mac }]));
  return { IPv4: [egress4(port, asked, profile)], IPv6: egress6(port, asked, profile) };
}

/** What asks for each MAC of a port. */
type Senders = ReadonlyMap<Mac, Match>;

function egress4(port: Port, senders: Senders, profile: Target): IptablesChain {
  return {
    name: fromPortName(port.device),
    rules: ownRules(sourcesOf(port, 'IPv4'), senders, profile).concat(
      unaddressedRules('IPv4', senders, TO_SPOOFED),
      ELSE_SPOOFED,
    ),
  };
}

function egress6(port: Port, senders: Senders, profile: Target): readonly IptablesChain[] {
  const [targets, own] = [targetsName(port.device), ownName(port.device)];
  const toTargets = goTo(targets);
  const sources = sourcesOf(port, 'IPv6');
  const distinct = [...new Map(sources.map(({ prefix }) => [prefix.text, prefix])).values()];
  return [
    {
      name: targets,
      rules: distinct
        .map((prefix): IptablesRule => ({ matches: [isTarget(prefix)], target: PASS }))
        .concat(ELSE_SPOOFED),
    },
    {
      name: own,
      rules: TARGETED.map(({ test }): IptablesRule => ({
        protocol: ICMPV6,
        matches: [test],
        target: toTargets,
      })).concat({
        target: profile,
      }),
    },
    {
      name: fromPortName(port.device),
      rules: ownRules(sources, senders, goTo(own)).concat(unaddressedRules('IPv6', senders, toTargets), ELSE_SPOOFED),
    },
  ];
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

function ownRules(sources: readonly Source[], senders: Senders, target: Target): readonly IptablesRule[] {
  return sources.map(({ mac, prefix }) => ({
    source: narrowing(prefix),
    matches: [senders.get(mac) ?? { kind: 'mac', mac }],
    target,
  }));
}

/** @param targets where the target of neighbour discovery is judged. */
function unaddressedRules(family: Family, senders: Senders, targets: Target): readonly IptablesRule[] {
  const { source, destination, protocol, tests } = UNADDRESSED[family];
  return [...senders.values()].flatMap((from) =>
    tests.map(({ test, verdict }) => ({
      source,
      destination,
      protocol,
      matches: [from, test],
      target: serviceTarget(verdict, targets),
    })),
  );
}

/** The target of neighbour discovery, four bytes at a time: ip6tables has no match of its own for it. */
function isTarget({ network, length }: Prefix): Match {
  const tests = [NO_EXTENSIONS];
  for (let word = 0; word < 4; word++) {
    const bits = Math.min(Math.max(length - 32 * word, 0), 32);
    // The last word is read in any case: a packet without a target matches nothing.
    if (bits === 0 && word < 3) continue;
    const offset = (ND_TARGET_OFFSET + 4 * word).toString(16);
    const mask = bits === 0 ? 0 : (0xffff_ffff << (32 - bits)) >>> 0;
    const value = BigInt.asUintN(32, network >> BigInt(96 - 32 * word));
    tests.push(`0x${offset}&0x${mask.toString(16)}=0x${value.toString(16)}`);
  }
  return { kind: 'u32', tests: tests.join('&&') };
}
