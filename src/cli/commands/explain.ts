/** `portcullis explain`: would a packet pass, and which rule decides? */
import type { CommandModule } from 'yargs';
import { EPHEMERAL_PORT, explain, firstAddress, renderExplanation, type End } from '../../../compiler/explain/index.js';
import { overlapsByHost, overlapText } from '../../../compiler/index.js';
import { DEFAULT_OPTIONS } from '../../../compiler/options.js';
import {
  FAMILIES,
  parseAddress,
  PORT_PROTOCOLS,
  PROTOCOL_NUMBERS,
  quoteValue,
  type Family,
  type FlowState,
  type Port,
  type Prefix,
  type Topology,
  type Transport,
} from '../../model/index.js';
import { CommandError } from '../errors.js';
import { EXIT } from '../exit-codes.js';
import { colours, printLine, say } from '../output.js';
import { readTopology, skipInvalidOption, topologyOption } from '../topology-options.js';

interface ExplainArguments {
  readonly topology: string;
  readonly from: string;
  readonly to: string;
  readonly protocol: string;
  readonly 'dst-port': number | undefined;
  readonly 'src-port': number | undefined;
  readonly 'icmp-type': number | undefined;
  readonly 'icmp-code': number | undefined;
  readonly family: Family | undefined;
  readonly state: FlowState;
  readonly json: boolean;
  readonly 'skip-invalid': boolean;
}

export const explainCommand: CommandModule<object, ExplainArguments> = {
  command: 'explain',
  describe: 'say whether a packet passes and which rule, or missing rule, decides',
  builder: (yargs) =>
    yargs
      .options({
        ...topologyOption,
        from: {
          type: 'string',
          demandOption: true,
          requiresArg: true,
          describe: 'sender: a port (id or name) or an address',
        },
        to: {
          type: 'string',
          demandOption: true,
          requiresArg: true,
          describe: 'receiver: a port (id or name) or an address',
        },
        protocol: {
          type: 'string',
          demandOption: true,
          requiresArg: true,
          describe: 'tcp, udp, icmp, ... or a number',
        },
        'dst-port': { type: 'number', requiresArg: true, describe: 'destination port' },
        'src-port': { type: 'number', requiresArg: true, describe: 'source port' },
        'icmp-type': { type: 'number', requiresArg: true, describe: 'ICMP type (echo request if absent)' },
        'icmp-code': { type: 'number', requiresArg: true, describe: 'ICMP code (0 if absent)' },
        family: { choices: FAMILIES, describe: 'only this family; both, where both ends have addresses, if absent' },
        state: {
          choices: ['new', 'established', 'related', 'unadmitted', 'invalid', 'revoked'] as const,
          default: 'new' as const,
          describe: 'what connection tracking says of the packet',
        },
        json: { type: 'boolean', default: false, describe: 'the explanation as JSON' },
        ...skipInvalidOption,
      })
      .example('$0 explain -t topology.yaml --from web-1 --to database-1 --protocol tcp --dst-port 3306', 'two ports')
      .example(
        '$0 explain -t topology.yaml --from 198.51.100.7 --to web-1 --protocol tcp --dst-port 80',
        'from outside',
      ),
  handler: async (args) => {
    const topology = await readTopology(args.topology, args['skip-invalid']);
    const context = { topology, widestPairLength: DEFAULT_OPTIONS.widestPairLength };
    const explanations = familiesOf(topology, args).map(({ from, to }) =>
      explain(context, from, to, transportOf(args, from.address.family), args.state),
    );
    if (args.json) printLine(JSON.stringify(explanations, null, 2));
    else {
      sayOverlaps(topology, args);
      const paint = { good: colours.green, bad: colours.red, dim: colours.dim };
      for (const line of explanations.flatMap((one) => renderExplanation(one, paint))) printLine(line);
    }
    if (explanations.some(({ verdict }) => verdict === 'drop')) process.exitCode = EXIT.dropped;
  },
};

/** Addresses of either end that another network's port has, too, by which the state of flows is kept apart. */
function sayOverlaps(topology: Topology, args: ExplainArguments): void {
  const ends = [endNamed(topology, args.from, '--from', false), endNamed(topology, args.to, '--to', false)];
  for (const overlaps of overlapsByHost(topology.ports.values()).values()) {
    for (const overlap of overlaps) {
      const concerns = ends.some(
        ({ port, address }) =>
          (overlap.holder !== undefined && port?.id === overlap.holder.id) ||
          address?.text === overlap.address ||
          port?.fixedIps.some(({ text }) => text === overlap.address) === true,
      );
      if (concerns) say(`notice: ${overlapText(overlap)}`);
    }
  }
}

/** `address` undefined stands for the port's first one of each family; `port` undefined for an address that no port has. */
type Named =
  | { readonly port: Port; readonly address: Prefix | undefined }
  | { readonly port: undefined; readonly address: Prefix };

function familiesOf(topology: Topology, args: ExplainArguments): readonly { readonly from: End; readonly to: End }[] {
  const [from, to] = [endNamed(topology, args.from, '--from'), endNamed(topology, args.to, '--to')];
  const families = FAMILIES.filter((family) => args.family === undefined || args.family === family);
  for (const { port } of [from, to]) {
    if (port?.filtering === 'closed') {
      throw new CommandError(EXIT.dropped, `port ${port.id} is not valid, and closed: nothing passes`);
    }
  }
  const pairs = families.flatMap((family) => {
    const [source, destination] = [endOf(from, family), endOf(to, family)];
    return source === undefined || destination === undefined ? [] : [{ from: source, to: destination }];
  });
  if (pairs.length === 0) {
    throw new CommandError(
      EXIT.invalidInput,
      `${quoteValue(args.from)} and ${quoteValue(args.to)} have no address of one family${args.family === undefined ? '' : ` (${args.family})`}`,
    );
  }
  return pairs;
}

function endOf(named: Named, family: Family): End | undefined {
  const address = named.port === undefined ? named.address : (named.address ?? firstAddress(named.port, family));
  return address?.family === family ? { port: named.port, address } : undefined;
}

function endNamed(topology: Topology, text: string, option: string, isSaid = true): Named {
  const byId = topology.ports.get(text);
  if (byId !== undefined) return { port: byId, address: undefined };
  const address = parseAddress(text);
  const candidates = address === undefined ? portsNamed(topology, text) : portsAt(topology, address);
  const [only, ...others] = candidates;
  if (others.length > 0) {
    throw new CommandError(
      EXIT.invalidInput,
      `${option}: ${quoteValue(text)} is several ports: ${candidates.map((port) => port.id).join(', ')}`,
    );
  }
  if (only !== undefined) {
    if (address !== undefined && isSaid)
      say(`${option}: ${address.text} is port ${quoteValue(only.name)} (${only.id})`);
    return { port: only, address };
  }
  if (address !== undefined) return { port: undefined, address };
  throw new CommandError(
    EXIT.invalidInput,
    `${option}: ${quoteValue(text)} is no port (id or unique name) and no address`,
  );
}

function portsNamed(topology: Topology, name: string): readonly Port[] {
  return [...topology.ports.values()].filter((port) => port.name === name);
}

/** The ports that have the address; where none has, those that may send from it by a pair of that very address. */
function portsAt(topology: Topology, { text }: Prefix): readonly Port[] {
  const ports = [...topology.ports.values()];
  const fixed = ports.filter(({ fixedIps }) => fixedIps.some((address) => address.text === text));
  if (fixed.length > 0) return fixed;
  return ports.filter(({ allowedAddressPairs }) => allowedAddressPairs.some(({ prefix }) => prefix.text === text));
}

function transportOf(args: ExplainArguments, family: Family): Transport {
  const text = args.protocol.toLowerCase();
  const number = /^\d{1,3}$/.test(text) ? Number(text) : PROTOCOL_NUMBERS.get(text);
  if (number === undefined || number > 255) {
    throw new CommandError(
      EXIT.usage,
      `--protocol: ${quoteValue(args.protocol)} is not a protocol (tcp, udp, icmp, ... or 0-255)`,
    );
  }
  const portProtocol = PORT_PROTOCOLS.find((protocol) => protocol === number);
  if (portProtocol !== undefined) {
    const destinationPort = inRange(args['dst-port'], 'dst-port', 65535);
    if (destinationPort === undefined)
      throw new CommandError(EXIT.usage, `--dst-port: ${text} needs a destination port`);
    const sourcePort = inRange(args['src-port'], 'src-port', 65535) ?? EPHEMERAL_PORT;
    return { kind: 'ports', protocol: portProtocol, sourcePort, destinationPort };
  }
  if (args['dst-port'] !== undefined || args['src-port'] !== undefined) {
    throw new CommandError(EXIT.usage, `--dst-port: protocol ${text} has no ports`);
  }
  if (number !== 1 && number !== 58) return { kind: 'other', protocol: number };
  const echoRequest = family === 'IPv4' ? 8 : 128;
  return {
    kind: 'icmp',
    protocol: family === 'IPv4' ? 1 : 58,
    type: inRange(args['icmp-type'], 'icmp-type', 255) ?? echoRequest,
    code: inRange(args['icmp-code'], 'icmp-code', 255) ?? 0,
  };
}

function inRange(value: number | undefined, option: string, most: number): number | undefined {
  if (value === undefined || (Number.isInteger(value) && value >= 0 && value <= most)) return value;
  throw new CommandError(EXIT.usage, `--${option}: ${value.toString()} is not a number from 0 to ${most.toString()}`);
}
