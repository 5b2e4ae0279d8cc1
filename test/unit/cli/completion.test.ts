/** What completes a command line: what the program proposes, and what shells make of it. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { specsOf } from '../../../src/cli/command-spec.js';
import { COMMAND_NAMES, registerCommands } from '../../../src/cli/commands/index.js';
import { completionsOf } from '../../../src/cli/complete.js';
import { completionScript } from '../../../src/cli/completion-scripts.js';

const EXAMPLE = 'examples/web-and-database.yaml';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'portcullis-completion-'));
  symlinkSync(resolve('dist/bin/portcullis.js'), join(folder, 'portcullis'));
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

async function proposed(...words: readonly string[]): Promise<readonly string[] | 'files'> {
  const [kind, ...lines] = (await completionsOf(words)).trimEnd().split('\n');
  return kind === 'files' ? kind : lines.map((line) => line.split('\t')[0] ?? '');
}

it('every command is read without the parser, as it is declared', async () => {
  const specs = await specsOf((parser) => registerCommands(parser, undefined));
  expect(specs.map(({ name }) => name)).toEqual(COMMAND_NAMES);
  for (const { name, describe: text } of specs) expect(text, name).toMatch(/\S/);
  expect(specs.find(({ name }) => name === 'hosts')?.subcommands.map(({ name }) => name)).toEqual(['enrol']);
  expect(specs.find(({ name }) => name === 'release')?.positionals).toEqual([
    expect.objectContaining({ name: 'device', isRequired: true, isMany: false }),
  ]);
});

it.each<[string, readonly string[], readonly string[] | 'files']>([
  ['commands', ['ex'], ['explain', 'export']],
  ['options of all', ['--v'], ['--version']],
  ['options of a command', ['compile', '--ho'], ['--host']],
  ['options that are there already are not proposed again', ['compile', '--host', 'h', '--ho'], []],
  ['those that may be there twice are', ['compile', '--port', 'web-1', '--po'], ['--port']],
  ['subcommands', ['hosts', 'en'], ['enrol']],
  ['options of a subcommand', ['hosts', 'enrol', '--host'], ['--host-password']],
  ['choices', ['compile', '--datapath', 'bridge'], ['bridge', 'bridge-netfilter']],
  ['choices of an argument', ['completion', 'f'], ['fish']],
  ['choices behind =', ['compile', '--datapath=rou'], ['--datapath=routed']],
  ['choices behind =, taken apart by bash', ['compile', '--datapath', '=', 'rou'], ['routed']],
  ['nothing of it typed yet', ['compile', '--format', '='], ['text', 'json']],
  ['files', ['check', '-t', 'ex'], 'files'],
  ['files behind =', ['check', '--topology=ex'], 'files'],
  ['files as arguments', ['check', 'ex'], 'files'],
  ['ports of the topology', ['explain', '-t', EXAMPLE, '--from', 'web'], ['web-1', 'web-2', 'web-3']],
  ['ports by --topology=', ['explain', `--topology=${EXAMPLE}`, '--to', 'data'], ['database-1', 'database-2']],
  ['any', ['explain', '-t', EXAMPLE, '--from', 'an'], ['any']],
  ['no ports without a topology', ['explain', '--from', 'w'], []],
  ['no ports of one that is not there', ['explain', '-t', 'absent', '--from', 'w'], []],
  ['hosts', ['diff', '-t', EXAMPLE, '--host', ''], ['compute-1']],
  ['protocols', ['explain', '--protocol', 'sc'], ['sctp']],
  ['services', ['explain', '--dst-port', 'http'], ['http', 'https']],
  ['sources', ['agent', '--source', 'f'], ['file:']],
  ['nothing of what nobody knows', ['agent', '--verify', ''], []],
  ['nothing of an unknown command', ['nonsense', '--'], []],
])('%s', async (_what, words, expected) => {
  expect(await proposed(...words)).toEqual(expected);
});

it('a candidate is described, and a port that shares its name is proposed by its id', async () => {
  const file = join(folder, 'shared.json');
  const port = (id: string, name: string, address: string): object => ({
    ...{ id, name, network_id: 'n', mac_address: `fa:16:3e:00:00:0${address}` },
    fixed_ips: [{ ip_address: `10.0.0.${address}` }],
  });
  writeFileSync(
    file,
    JSON.stringify({ ports: [port('a-1', 'web', '1'), port('a-2', 'web', '2'), port('a-3', 'db', '3')] }),
  );
  expect(await completionsOf(['explain', '-t', file, '--from', ''])).toBe(
    'words\na-1\tweb 10.0.0.1\na-2\tweb 10.0.0.2\ndb\t10.0.0.3\nany\t\n',
  );
});

/** What bash would propose for a line, with the script loaded by a shell that is not interactive. */
function inBash(...words: readonly string[]): readonly string[] {
  const script = `${completionScript('bash')}
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _portcullis; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const env = { ...process.env, PATH: `${folder}:${process.env['PATH'] ?? ''}` };
  return execFileSync('bash', ['--norc', '-c', script, 'bash', 'portcullis', ...words], { encoding: 'utf8', env })
    .trimEnd()
    .split('\n');
}

describe('bash', () => {
  it('completes commands, ports of the topology and files', () => {
    expect(inBash('ex')).toEqual(['explain', 'export']);
    expect(inBash('explain', '-t', EXAMPLE, '--from', 'web')).toEqual(['web-1', 'web-2', 'web-3']);
    expect(inBash('check', '-t', 'examples/web')).toEqual([EXAMPLE]);
    expect(inBash('check', '--topology', '=', 'examples/web')).toEqual([EXAMPLE]);
    expect(inBash('compile', '--datapath', '=', 'rou')).toEqual(['routed']);
  });

  it('a name cannot be a command', () => {
    const file = join(folder, 'evil.json');
    const port = { id: 'p1', name: "x$(touch gone) '", network_id: 'n', mac_address: 'fa:16:3e:00:00:01' };
    writeFileSync(file, JSON.stringify({ ports: [port] }));
    expect(inBash('explain', '-t', file, '--from', 'x')).toEqual(["x\\$\\(touch\\ gone\\)\\ \\'"]);
  });

  it('a name that is several lines, or speaks to the terminal, is completed by the id of its port', () => {
    const file = join(folder, 'lines.json');
    const port = { id: 'p1', name: 'p\u001b[2J\npother', network_id: 'n', mac_address: 'fa:16:3e:00:00:01' };
    writeFileSync(file, JSON.stringify({ ports: [port] }));
    expect(inBash('explain', '-t', file, '--from', 'p')).toEqual(['p1']);
  });
});
