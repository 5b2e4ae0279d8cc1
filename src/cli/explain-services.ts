/** What the packets carry that `explain` is asked about, as it is typed. */
import { between, EPHEMERAL_PORT, union, type Ranges, type ServiceSet } from '../../compiler/explain/index.js';
import {
  IPV6_EXTENSION_HEADERS,
  PORT_PROTOCOLS,
  PROTOCOL_NUMBERS,
  quoteValue,
  type Family,
  type PortProtocol,
  type Transport,
} from '../../compiler/model/index.js';
import { CommandError } from './errors.js';
import { EXIT } from './exit-codes.js';
import { didYouMean } from '../../compiler/model/nearest.js';
import { SERVICE_NAMES } from './service-names.js';

export interface ServiceArguments {
  readonly protocol: string;
  readonly 'dst-port': string | undefined;
  readonly 'src-port': string | undefined;
  readonly 'icmp-type': string | undefined;
  readonly 'icmp-code': string | undefined;
}

/** Stands for every protocol, port, type or code. */
export const ANY = 'any';
const MOST_PORT = 65_535;
const MOST_BYTE = 255;

/** @throws CommandError */
export function servicesOf(args: ServiceArguments, family: Family): readonly ServiceSet[] {
  const words = args.protocol.toLowerCase().split(',');
  const isAny = words.includes(ANY);
  const icmp = family === 'IPv4' ? 1 : 58;
  const numbers = new Set(
    isAny ? everyProtocol(family) : words.map(protocolNumber).map((number) => (isIcmp(number) ? icmp : number)),
  );
  const withPorts = PORT_PROTOCOLS.filter((protocol) => numbers.has(protocol));
  const others = [...numbers].filter((number) => number !== icmp && !isWithPorts(number));
  return [
    ...portSets(args, withPorts, isAny),
    ...(numbers.has(icmp) ? [icmpSet(args, icmp, isAny)] : []),
    ...(others.length === 0 ? [] : [{ kind: 'other' as const, protocols: ascending(others) }]),
  ];
}

function portSets(args: ServiceArguments, protocols: readonly PortProtocol[], isAny: boolean): readonly ServiceSet[] {
  const { 'dst-port': typed, 'src-port': source } = args;
  if (protocols.length === 0) {
    if (typed === undefined && source === undefined) return [];
    throw new CommandError(EXIT.usage, `--dst-port: protocol ${args.protocol} has no ports`);
  }
  const destination = typed ?? (isAny ? ANY : undefined);
  if (destination === undefined) {
    throw new CommandError(EXIT.usage, `--dst-port: ${args.protocol} needs a destination port, or any`);
  }
  const destinations = rangesOf('dst-port', destination, MOST_PORT);
  const sources =
    source === undefined ? between(EPHEMERAL_PORT, EPHEMERAL_PORT) : rangesOf('src-port', source, MOST_PORT);
  return protocols.map((protocol) => ({ kind: 'ports', protocol, destinations, sources }));
}

function icmpSet(args: ServiceArguments, protocol: 1 | 58, isAny: boolean): ServiceSet {
  const { 'icmp-type': type, 'icmp-code': code } = args;
  const echoRequest = protocol === 1 ? '8' : '128';
  return {
    kind: 'icmp',
    protocol,
    types: rangesOf('icmp-type', type ?? (isAny ? ANY : echoRequest), MOST_BYTE),
    // Of all types, and of none in particular, all codes; of one that is named, its first.
    codes: rangesOf('icmp-code', code ?? (isAny || type === ANY ? ANY : '0'), MOST_BYTE),
  };
}

function everyProtocol(family: Family): readonly number[] {
  const all = Array.from({ length: MOST_BYTE + 1 }, (_, number) => number);
  return family === 'IPv4' ? all : all.filter((number) => !IPV6_EXTENSION_HEADERS.includes(number));
}

function protocolNumber(word: string): number {
  const number = /^\d{1,3}$/.test(word) ? Number(word) : PROTOCOL_NUMBERS.get(word);
  if (number !== undefined && number <= MOST_BYTE) return number;
  throw new CommandError(
    EXIT.usage,
    `--protocol: ${quoteValue(word)} is not a protocol (tcp, udp, icmp, ..., 0-255 or any)${didYouMean(word, PROTOCOL_NUMBERS.keys())}`,
  );
}

function isIcmp(protocol: number): boolean {
  return protocol === 1 || protocol === 58;
}

function isWithPorts(protocol: number): boolean {
  return PORT_PROTOCOLS.some((one) => one === protocol);
}

/** `80`, `http`, `80,443`, `1000-2000`, `any`. @throws CommandError */
function rangesOf(option: string, text: string, most: number): Ranges {
  const names = most === MOST_PORT ? SERVICE_NAMES : new Map<string, number>();
  const numbers = text.split(',').map((word): readonly [number, number] => {
    if (word === ANY) return [0, most];
    const named = names.get(word.toLowerCase());
    if (named !== undefined) return [named, named];
    const [, first, last = first] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(word) ?? [];
    const range = [Number(first), Number(last)] as const;
    if (range[0] <= range[1] && range[1] <= most) return range;
    const valid = `0-${most.toString()}, a range, several with commas, any${names.size === 0 ? '' : ', or a name such as http'}`;
    throw new CommandError(
      EXIT.usage,
      `--${option}: ${quoteValue(word)} is none: valid is ${valid}${/\d/.test(word) ? '' : didYouMean(word, names.keys())}`,
    );
  });
  return mergedRanges(numbers);
}

function ascending(numbers: readonly number[]): Ranges {
  return mergedRanges(numbers.map((number) => [number, number]));
}

function mergedRanges(pairs: readonly (readonly [number, number])[]): Ranges {
  return union(pairs.flatMap(([first, last]) => between(first, last)));
}

/** The one packet that the sets are, undefined where they are more. */
export function onlyTransport([set, ...more]: readonly ServiceSet[]): Transport | undefined {
  if (set === undefined || more.length > 0) return undefined;
  switch (set.kind) {
    case 'ports': {
      const { kind, protocol } = set;
      const [sourcePort, destinationPort] = [onlyNumber(set.sources), onlyNumber(set.destinations)];
      if (sourcePort === undefined || destinationPort === undefined) return undefined;
      return { kind, protocol, sourcePort, destinationPort };
    }
    case 'icmp': {
      const { kind, protocol } = set;
      const [type, code] = [onlyNumber(set.types), onlyNumber(set.codes)];
      return type === undefined || code === undefined ? undefined : { kind, protocol, type, code };
    }
    case 'other': {
      const protocol = onlyNumber(set.protocols);
      return protocol === undefined ? undefined : { kind: set.kind, protocol };
    }
  }
}

function onlyNumber([range, ...more]: Ranges): number | undefined {
  return range === undefined || more.length > 0 || range.first !== range.last ? undefined : Number(range.first);
}
