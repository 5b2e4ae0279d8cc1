/** What may stand next on a command line. */
import type { Options } from 'yargs';
import type { Port } from '../../compiler/model/index.js';
import { aliasesOf, specsOf, type CommandSpec } from './command-spec.js';
import { COMMAND_NAMES, registerCommands } from './commands/index.js';
import { isShownAsItIs, shownText } from './shown-text.js';

/** Values that are files. */
const FILES: ReadonlySet<string> = new Set([
  ...['topology', 'store', 'token-file', 'source-token', 'socket', 'config'],
  ...['etcd-ca', 'etcd-cert', 'etcd-key', 'etcd-password', 'host-password'],
]);
/** Positional arguments that are files. */
const FILE_ARGUMENTS: ReadonlySet<string> = new Set(['paths', 'file']);
/** Reading more would keep somebody waiting who pressed a key. */
const MOST_TOPOLOGY_BYTES = 16 * 1024 * 1024;

interface Candidate {
  readonly word: string;
  readonly describe: string;
}

type Candidates = 'files' | readonly Candidate[];

/** @param words behind the name of the program, of which the last one is to be completed, and may be empty. */
export async function completionsOf(words: readonly string[]): Promise<string> {
  const { before, start, current } = wordsOf(words);
  const found = await candidatesFor(before, current);
  if (found === 'files') return 'files\n';
  const fitting = found.filter(({ word }) => word.startsWith(current));
  return `words\n${fitting.map(({ word, describe }) => `${start}${word}\t${describe}\n`).join('')}`;
}

interface Words {
  /** Whole ones; an option that stands before "=" is one. */
  readonly before: readonly string[];
  /** To be repeated before each candidate: "--from=" of "--from=web", unless the shell has taken that apart, as bash does. */
  readonly start: string;
  readonly current: string;
}

function wordsOf(words: readonly string[]): Words {
  const current = words.at(-1) ?? '';
  const whole = words.slice(0, -1).filter((word) => word !== '=');
  if (current === '=') return { before: whole, start: '', current: '' };
  const [, start, value] = /^(--[a-z-]+=)(.*)$/s.exec(current) ?? [];
  if (start === undefined || value === undefined) return { before: whole, start: '', current };
  return { before: [...whole, start.slice(0, -1)], start, current: value };
}

async function candidatesFor(before: readonly string[], current: string): Promise<Candidates> {
  const [name] = before;
  if (name === undefined) return plain(current.startsWith('-') ? ['--help', '--version'] : COMMAND_NAMES);
  if (!COMMAND_NAMES.includes(name)) return [];
  const [command] = await specsOf((parser) => registerCommands(parser, name));
  if (command === undefined) return [];
  const inner = command.subcommands.find((sub) => sub.name === before[1]);
  const spec = inner ?? command;
  const last = optionNamed(spec, before.at(-1) ?? '');
  if (last !== undefined && last.option.type !== 'boolean') return valuesOf(last.name, last.option, before);
  if (current.startsWith('-')) return optionsOf(spec, before);
  const subcommands = inner === undefined && before.length === 1 ? command.subcommands : [];
  const [argument] = spec.positionals;
  if (argument !== undefined && FILE_ARGUMENTS.has(argument.name)) return 'files';
  return [
    ...subcommands.map((sub) => ({ word: sub.name, describe: sub.describe })),
    ...plain((argument?.option.choices ?? []).map(String)),
    ...(current === '' ? optionsOf(spec, before) : []),
  ];
}

function plain(words: Iterable<string>): readonly Candidate[] {
  return [...words].map((word) => ({ word, describe: '' }));
}

function optionNamed(spec: CommandSpec, word: string): { readonly name: string; readonly option: Options } | undefined {
  const typed = /^--?([a-z-]+)$/.exec(word)?.[1];
  if (typed === undefined) return undefined;
  for (const [name, option] of spec.options) {
    if (name === typed || aliasesOf(option).includes(typed)) return { name, option };
  }
  return undefined;
}

/** Those that are not there yet, or may be there again. */
function optionsOf(spec: CommandSpec, before: readonly string[]): readonly Candidate[] {
  const given = new Set(before.map((word) => optionNamed(spec, word)?.name));
  return [...spec.options]
    .filter(([name, { array }]) => array === true || name === 'topology' || !given.has(name))
    .map(([name, { describe }]) => ({ word: `--${name}`, describe: describe ?? '' }));
}

async function valuesOf(name: string, { choices }: Options, before: readonly string[]): Promise<Candidates> {
  if (choices !== undefined) return plain(choices.map(String));
  if (FILES.has(name)) return 'files';
  switch (name) {
    case 'source':
      return plain(['file:', 'api:', 'etcd:', 'neutron:']);
    case 'protocol':
      return plain([...(await import('../../compiler/model/protocol.js')).PROTOCOL_NUMBERS.keys(), 'any']);
    case 'dst-port':
    case 'src-port':
      return plain([...(await import('./service-names.js')).SERVICE_NAMES.keys(), 'any']);
    case 'from':
    case 'to':
      return [...(await portsIn(before)), ...plain(['any'])];
    case 'port':
      return portsIn(before);
    case 'host':
      return plain(new Set((await topologyIn(before)).flatMap(({ host }) => host ?? []).filter(isShownAsItIs)));
    default:
      return [];
  }
}

/** By name where no other port has it, otherwise by id. */
async function portsIn(before: readonly string[]): Promise<readonly Candidate[]> {
  const ports = await topologyIn(before);
  const named = new Map<string, number>();
  for (const { name } of ports) named.set(name, (named.get(name) ?? 0) + 1);
  return ports.map(({ id, name, fixedIps }) => {
    const addresses = fixedIps.map(({ text }) => text).join(' ');
    // What is none as it is shown cannot be typed, and would be several lines of the answer.
    return named.get(name) === 1 && name !== '' && isShownAsItIs(name)
      ? { word: name, describe: addresses }
      : { word: id, describe: `${shownText(name)} ${addresses}`.trim() };
  });
}

/** Ports of the topology that the command line names; none where it cannot be read, or only once. */
async function topologyIn(before: readonly string[]): Promise<readonly Port[]> {
  const paths = before.flatMap((word, index) => {
    if (word === '-t' || word === '--topology') return before[index + 1] ?? [];
    return word.startsWith('--topology=') ? word.slice('--topology='.length) : [];
  });
  const { bytesOf, loadTopology } = await import('../sources/file/index.js');
  if (paths.length === 0 || paths.includes('-') || (await bytesOf(paths)) > MOST_TOPOLOGY_BYTES) return [];
  const { topology } = await loadTopology(paths);
  return [...topology.ports.values()];
}
