/** The options with which commands name a topology, a host and how to compile; their validation. */
import type { Options } from 'yargs';
import type { BackendName } from '../../agent/index.js';
import { DEFAULT_OPTIONS, type CompileOptions } from '../../compiler/options.js';
import { DATAPATHS, type Datapath } from '../../compiler/datapath.js';
import { isOnHost, type ParsedTopology, type Port, type Topology } from '../../compiler/model/index.js';
import { CommandError } from './errors.js';
import { EXIT } from './exit-codes.js';
import { sayIsolations, sayProblems, sayProgress } from './output.js';
import { shownText } from './shown-text.js';

export { wantedBy } from './wanted.js';

export const topologyOption = {
  topology: {
    alias: 't',
    type: 'string',
    demandOption: true,
    requiresArg: true,
    coerce: pathsOf,
    describe:
      'topology: a JSON or YAML file, a folder of them, or - for standard input; more than one are read as a folder is',
  },
} as const satisfies Record<string, Options>;

/** One path, or as many as were given. */
function pathsOf(given: string | readonly string[]): readonly string[] {
  return [given].flat();
}

export const hostOption = {
  host: { type: 'string', requiresArg: true, describe: 'the host whose ports are local (binding:host_id)' },
} as const satisfies Record<string, Options>;

export const skipInvalidOption = {
  'skip-invalid': {
    type: 'boolean',
    default: false,
    describe:
      'isolate objects that are invalid, as a starting agent does: a bad rule allows nothing, a bad port is closed',
  },
} as const satisfies Record<string, Options>;

export const datapathOption = {
  datapath: {
    choices: DATAPATHS,
    default: DEFAULT_OPTIONS.datapath,
    describe:
      'how taps reach the host: routed by it, or plugged into a Linux bridge; bridge-netfilter where connections are ' +
      'tracked by br_netfilter',
  },
  'device-prefix': {
    type: 'string',
    array: true,
    requiresArg: true,
    default: DEFAULT_OPTIONS.devicePrefixes,
    describe: 'devices whose name starts so are closed unless a port is known for them; may be repeated',
  },
  'revoked-mark': {
    type: 'string',
    requiresArg: true,
    default: hexMark(DEFAULT_OPTIONS.revokedMark),
    describe: 'the bit of the conntrack mark that says "revoked"',
  },
  'admitted-mark': {
    type: 'string',
    requiresArg: true,
    default: hexMark(DEFAULT_OPTIONS.admittedMark),
    describe: 'the lower of the two bits of the conntrack mark that say which end admitted a flow',
  },
  ethertype: {
    type: 'string',
    array: true,
    requiresArg: true,
    default: [] as string[],
    describe:
      'an ethertype that ports on bridges may send and get beside IP, ARP and RARP, such as 0x888e; may be repeated',
  },
  'state-mark': {
    type: 'string',
    requiresArg: true,
    default: hexMark(DEFAULT_OPTIONS.stateMark),
    describe: 'the lowest of the three bits of the packet mark that bridge-netfilter uses',
  },
} as const satisfies Record<string, Options>;

const BACKENDS: readonly BackendName[] = ['nftables', 'iptables'];

export const backendOption = {
  backend: {
    choices: BACKENDS,
    default: 'nftables' as const,
    describe: 'what to compile to: nftables, or iptables with ipset (and nftables for what is not IP)',
  },
} as const satisfies Record<string, Options>;

/** What {@link backendOption} gives. */
export interface BackendArguments {
  readonly backend: BackendName;
}

/** What {@link datapathOption} gives. */
export interface DatapathArguments {
  readonly datapath: Datapath;
  readonly 'device-prefix': readonly string[];
  readonly 'revoked-mark': string;
  readonly 'admitted-mark': string;
  readonly 'state-mark': string;
  readonly ethertype: readonly string[];
}

/** @throws CommandError when the backend never sees packets of that datapath. */
export function checkBackend({
  backend,
  datapath,
}: {
  readonly backend: BackendName;
  readonly datapath: string;
}): void {
  if (backend === 'nftables' || datapath !== 'bridge') return;
  throw new CommandError(
    EXIT.usage,
    '--backend iptables: iptables sees packets of bridges by br_netfilter alone: use --datapath bridge-netfilter',
  );
}

/**
 * Reads a topology and says what is wrong with it; invalid input ends the command. With `skipInvalid` bad objects are isolated, as by
 * an agent that starts; what is wrong with a document as a whole ends the command all the same.
 */
export async function readTopology(paths: readonly string[], skipInvalid: boolean): Promise<Topology> {
  return usableTopology(await parsedTopology(paths), paths.join(', '), skipInvalid);
}

/** From as many bytes on reading takes a moment, and it is said on a terminal that it has begun. */
const LONG_BYTES = 4 * 1024 * 1024;

/** What files say, and all that is wrong with it. */
export async function parsedTopology(paths: readonly string[]): Promise<ParsedTopology> {
  const { bytesOf, loadTopology } = await import('../sources/file/index.js');
  const bytes = await bytesOf(paths);
  if (bytes >= LONG_BYTES) sayProgress(`reading ${Math.round(bytes / 1_000_000).toString()} MB of topology`);
  return loadTopology(paths);
}

/** From as many ports on compiling takes a moment. */
const MANY_PORTS = 10_000;

/** On a terminal, and only where it takes a moment. */
export function sayCompiling({ ports }: Topology): void {
  if (ports.size >= MANY_PORTS) sayProgress(`compiling ${ports.size.toString()} ports`);
}

/** @param name where it comes from. @throws CommandError */
export function usableTopology(
  { topology, problems, isolations, isUsable }: ParsedTopology,
  name: string,
  skipInvalid: boolean,
): Topology {
  sayProblems(problems);
  const errors = problems.filter((problem) => problem.severity === 'error').length;
  if (errors > 0 && !(skipInvalid && isUsable)) {
    const why = skipInvalid ? ', not all of them within an object that could be isolated' : '';
    throw new CommandError(EXIT.invalidInput, `${errors.toString()} error(s) in ${name}${why}: nothing was done`);
  }
  sayIsolations(isolations);
  return topology;
}

const DEVICE_PREFIX = /^[A-Za-z0-9_.-]{1,14}$/;

/** @param datapath where it was found out. */
export function compileOptions(args: Omit<DatapathArguments, 'datapath'>, datapath: Datapath): CompileOptions {
  const revokedMark = bitOf('--revoked-mark', args['revoked-mark'], 0x8000_0000);
  const admittedMark = bitOf('--admitted-mark', args['admitted-mark'], 0x4000_0000);
  if (revokedMark === admittedMark || revokedMark === 2 * admittedMark) {
    throw new CommandError(
      EXIT.usage,
      `--admitted-mark: ${hexMark(admittedMark)} and the bit above it are not both free of --revoked-mark ${hexMark(revokedMark)}`,
    );
  }
  return {
    ...DEFAULT_OPTIONS,
    datapath,
    devicePrefixes: devicePrefixesOf(args['device-prefix']),
    revokedMark,
    admittedMark,
    stateMark: bitOf('--state-mark', args['state-mark'], 0x2000_0000),
    ethertypes: [...new Set(args.ethertype.map(ethertypeOf))].sort((a, b) => a - b),
  };
}

/**
 * Sorted.
 * @throws CommandError when one cannot be the start of a device's name, or is there for nothing: who writes `tap` and `tap1` means
 * something else than what that would do.
 */
export function devicePrefixesOf(texts: readonly string[]): readonly string[] {
  const prefixes = texts.map(devicePrefixOf).sort();
  prefixes.forEach((prefix, index) => {
    // In order, what a prefix covers follows it at once.
    const next = prefixes[index + 1];
    if (next?.startsWith(prefix) !== true) return;
    const [wide, narrow] = [JSON.stringify(prefix), JSON.stringify(next)];
    throw new CommandError(
      EXIT.usage,
      next === prefix
        ? `--device-prefix: ${wide} is there twice: once is enough`
        : `--device-prefix: ${narrow} begins with ${wide}, which covers it: leave out one of them`,
    );
  });
  return prefixes;
}

function devicePrefixOf(text: string): string {
  if (DEVICE_PREFIX.test(text)) return text;
  throw new CommandError(
    EXIT.usage,
    `--device-prefix: ${JSON.stringify(text)} is not the start of a device name (1-14 of A-Z a-z 0-9 _ . -)`,
  );
}

/** IPv4, ARP, RARP, IPv6: judged in any case; 802.1Q and 802.1ad: a tag would hide what is behind it. */
const NOT_PERMITTED = [0x0800, 0x0806, 0x8035, 0x86dd, 0x8100, 0x88a8, 0x9100];

function ethertypeOf(text: string): number {
  const number = /^(0x[0-9a-f]{1,4}|\d{1,5})$/i.test(text) ? Number(text) : 0;
  if (number >= 0x0600 && number <= 0xffff && !NOT_PERMITTED.includes(number)) return number;
  throw new CommandError(
    EXIT.usage,
    `--ethertype: ${JSON.stringify(text)} is not an ethertype from 0x0600 to 0xffff other than IP, ARP, RARP and VLAN tags`,
  );
}

function bitOf(option: string, text: string, greatest: number): number {
  const mark = /^(0x[0-9a-f]{1,8}|\d{1,10})$/i.test(text) ? Number(text) : 0;
  const isOneBit = mark > 0 && mark <= greatest && Number.isInteger(Math.log2(mark));
  if (isOneBit) return mark;
  throw new CommandError(
    EXIT.usage,
    `${option}: ${JSON.stringify(text)} is not one bit, from 0x1 to ${hexMark(greatest)}`,
  );
}

function hexMark(bit: number): string {
  return `0x${bit.toString(16).padStart(8, '0')}`;
}

/**
 * The ports of a host. A host that the topology does not name is an error: a mistyped name would otherwise close every
 * device of the machine.
 */
export function portsOfHost(topology: Topology, host: string): (port: Port) => boolean {
  const hosts = new Set(
    [...topology.ports.values()].flatMap((port) => [port.host ?? [], port.migratingTo ?? []].flat()),
  );
  if (![...topology.ports.values()].some((port) => isOnHost(port, host))) {
    const known = [...hosts].sort();
    const shown = known.slice(0, 5).join(', ') + (known.length > 5 ? ` and ${(known.length - 5).toString()} more` : '');
    const valid = known.length === 0 ? 'no port has a binding:host_id' : `ports are bound to ${shownText(shown)}`;
    throw new CommandError(EXIT.invalidInput, `--host: no port is bound to ${JSON.stringify(host)}: ${valid}`);
  }
  return (port) => isOnHost(port, host);
}

/** The ports named by id or, where unique, by name. */
export function portsNamed(topology: Topology, names: readonly string[]): (port: Port) => boolean {
  const chosen = new Set(names.map((name) => portNamed(topology, name).id));
  return (port) => chosen.has(port.id);
}

function portNamed(topology: Topology, name: string): Port {
  const byId = topology.ports.get(name);
  if (byId !== undefined) return byId;
  const [first, ...others] = [...topology.ports.values()].filter((port) => port.name === name);
  if (first === undefined) {
    throw new CommandError(EXIT.invalidInput, `--port: no port has the id or name ${JSON.stringify(name)}`);
  }
  if (others.length > 0) {
    const ids = [first, ...others].map((port) => port.id).join(', ');
    throw new CommandError(EXIT.invalidInput, `--port: several ports are named ${JSON.stringify(name)}: ${ids}`);
  }
  return first;
}
