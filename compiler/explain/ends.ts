/** Where packets come from and go to: one end, or every address of a prefix. */
import {
  isExact,
  lastAddress,
  makePrefix,
  familyBits,
  type Family,
  type Port,
  type Prefix,
  type Topology,
} from '../model/index.js';
import type { End } from './explain.js';
import { classesOf, type Range, type Ranges } from './partition.js';

export type Ends =
  | { readonly kind: 'one'; readonly end: End }
  /** An address that a port has is that port's, one that no port has is outside. */
  | { readonly kind: 'addresses'; readonly prefix: Prefix };

/** Ends of one fate. */
export interface EndClass {
  /** One of them. */
  readonly end: End;
  readonly addresses: Ranges;
}

export function familyOfEnds(ends: Ends): Family {
  return ends.kind === 'one' ? ends.end.address.family : ends.prefix.family;
}

/** The end that they are, undefined where they are several. */
export function onlyEnd(ends: Ends): End | undefined {
  return ends.kind === 'one' ? ends.end : undefined;
}

/** The ports among them. */
export function portsOfEnds(topology: Topology, ends: Ends): readonly Port[] {
  if (ends.kind === 'one') return ends.end.port === undefined ? [] : [ends.end.port];
  return [...new Set([...ownersIn(topology, ends.prefix).values()].flat())];
}

/** @param conditions on the address, of which a verdict may depend. */
export function endClasses(topology: Topology, ends: Ends, conditions: readonly Ranges[]): readonly EndClass[] {
  if (ends.kind === 'one') return [{ end: ends.end, addresses: [rangeOf(ends.end.address)] }];
  const { prefix } = ends;
  const owners = ownersIn(topology, prefix);
  const addresses = new Map<string, Range[]>();
  for (const [address, ports] of owners) {
    for (const key of new Set(ports.map(fateOf))) {
      const known = addresses.get(key) ?? [];
      if (known.length === 0) addresses.set(key, known);
      known.push({ first: address, last: address });
    }
  }
  return classesOf([rangeOf(prefix)], [...addresses.values(), ...conditions]).flatMap((ranges) => {
    const first = ranges[0]?.first ?? prefix.network;
    const address = makePrefix(prefix.family, first, familyBits(prefix.family));
    // Where networks share an address, each port that has it is an end of its own.
    const byFate = new Map((owners.get(first) ?? []).map((port) => [fateOf(port), port]));
    const ports = byFate.size === 0 ? [undefined] : [...byFate.values()];
    return ports.map((port) => ({ end: { port, address }, addresses: ranges }));
  });
}

/** Of ports that have an address, what decides beside the address: whether they are filtered, and by which groups. */
function fateOf({ filtering, securityGroupIds }: Port): string {
  return `${filtering} ${securityGroupIds.join()}`;
}

/** Who has an address of the prefix: as a fixed IP or, where nobody has, as an exact address pair. */
function ownersIn({ ports }: Topology, { family, network, ...prefix }: Prefix): ReadonlyMap<bigint, readonly Port[]> {
  const last = lastAddress({ family, network, ...prefix });
  const owners = new Map<bigint, Port[]>();
  const isInside = (address: Prefix): boolean =>
    address.family === family && isExact(address) && address.network >= network && address.network <= last;
  const add = (address: Prefix, port: Port): void => {
    const known = owners.get(address.network);
    if (known === undefined) owners.set(address.network, [port]);
    else if (!known.includes(port)) known.push(port);
  };
  for (const port of ports.values()) {
    for (const address of port.fixedIps.filter(isInside)) add(address, port);
  }
  const fixed = new Set(owners.keys());
  for (const port of ports.values()) {
    for (const { prefix: pair } of port.allowedAddressPairs) {
      if (isInside(pair) && !fixed.has(pair.network)) add(pair, port);
    }
  }
  return owners;
}

export function rangeOf(prefix: Prefix): Range {
  return { first: prefix.network, last: lastAddress(prefix) };
}
