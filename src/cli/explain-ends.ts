/** From whom to whom the packets go that `explain` is asked about, as it is typed. */
import { firstAddress, type Ends } from '../../compiler/explain/index.js';
import {
  FAMILIES,
  isExact,
  makePrefix,
  parseAddress,
  parsePrefix,
  quoteValue,
  type Family,
  type Port,
  type Prefix,
  type Topology,
} from '../../compiler/model/index.js';
import { CommandError } from './errors.js';
import { EXIT } from './exit-codes.js';
import { ANY } from './explain-services.js';
import { didYouMean } from '../../compiler/model/nearest.js';
import { say } from './output.js';
import { isShownAsItIs } from './shown-text.js';

/** `address` undefined stands for the port's first one of each family; an `address` alone is one that no port has. */
export type Named =
  | { readonly kind: 'port'; readonly port: Port; readonly address: Prefix | undefined }
  | { readonly kind: 'address'; readonly address: Prefix }
  | { readonly kind: 'prefix'; readonly prefix: Prefix }
  | { readonly kind: 'any' };

export type NamedOption = '--from' | '--to';

/** @throws CommandError where it is nothing, or several things. */
export function endNamed(topology: Topology, text: string, option: NamedOption): Named {
  const port = topology.ports.get(text);
  if (port !== undefined) return { kind: 'port', port, address: undefined };
  const address = parseAddress(text);
  const prefix = parsePrefix(text);
  if (address === undefined && prefix !== undefined && !isExact(prefix)) return { kind: 'prefix', prefix };
  const exact = address ?? prefix;
  const candidates = exact === undefined ? portsNamed(topology, text) : portsAt(topology, exact);
  const [only, ...others] = candidates;
  if (others.length > 0) {
    throw new CommandError(
      EXIT.invalidInput,
      `${option}: ${quoteValue(text)} is several ports: ${candidates.map(({ id }) => id).join(', ')}`,
    );
  }
  if (only !== undefined) {
    if (exact !== undefined) say(`${option}: ${exact.text} is port ${quoteValue(only.name)} (${only.id})`);
    return { kind: 'port', port: only, address: exact };
  }
  if (exact !== undefined) return { kind: 'address', address: exact };
  if (text === ANY) return { kind: 'any' };
  throw new CommandError(
    EXIT.invalidInput,
    `${option}: ${quoteValue(text)} is no port (id or unique name), no address or prefix, and not any` +
      didYouMean(text, [...topology.ports.values()].map(({ name }) => name).filter(isShownAsItIs)),
  );
}

function portsNamed({ ports }: Topology, name: string): readonly Port[] {
  return [...ports.values()].filter((port) => port.name === name);
}

/** The ports that have the address; where none has, those that may send from it by a pair of that very address. */
function portsAt({ ports }: Topology, { text }: Prefix): readonly Port[] {
  const all = [...ports.values()];
  const fixed = all.filter(({ fixedIps }) => fixedIps.some((address) => address.text === text));
  if (fixed.length > 0) return fixed;
  return all.filter(({ allowedAddressPairs }) => allowedAddressPairs.some(({ prefix }) => prefix.text === text));
}

/** Of one family; undefined where there is nothing of it. */
export function endsOf(named: Named, family: Family): Ends | undefined {
  switch (named.kind) {
    case 'any':
      return { kind: 'addresses', prefix: makePrefix(family, 0n, 0) };
    case 'prefix':
      return named.prefix.family === family ? { kind: 'addresses', prefix: named.prefix } : undefined;
    case 'address':
      return oneOf(undefined, named.address, family);
    case 'port':
      return oneOf(named.port, named.address ?? firstAddress(named.port, family), family);
  }
}

function oneOf(port: Port | undefined, address: Prefix | undefined, family: Family): Ends | undefined {
  return address?.family === family ? { kind: 'one', end: { port, address } } : undefined;
}

/** Both ends in each family that both have. @throws CommandError where there is none. */
export function familiesOf(
  from: Named,
  to: Named,
  only: Family | undefined,
): readonly { readonly family: Family; readonly from: Ends; readonly to: Ends }[] {
  const pairs = FAMILIES.filter((family) => only === undefined || only === family).flatMap((family) => {
    const [sender, receiver] = [endsOf(from, family), endsOf(to, family)];
    return sender === undefined || receiver === undefined ? [] : [{ family, from: sender, to: receiver }];
  });
  if (pairs.length > 0) return pairs;
  throw new CommandError(
    EXIT.invalidInput,
    `--from and --to have no address of one family${only === undefined ? '' : ` (${only})`}`,
  );
}
