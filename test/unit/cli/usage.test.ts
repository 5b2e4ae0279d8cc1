/** What is said of a command line that means nothing. */
import { expect, it } from 'vitest';
import { nearest } from '../../../compiler/model/nearest.js';
import { COMMAND_NAMES } from '../../../src/cli/commands/index.js';
import { CommandError } from '../../../src/cli/errors.js';
import { helpOf } from '../../../src/cli/help.js';
import { parse } from '../../../src/cli/run.js';

const EXPLAIN = ['explain', '-t', 'x', '--from', 'a', '--to', 'b', '--protocol'];

it.each<[string, readonly string[], string]>([
  ['no command', [], 'name a command (portcullis --help)'],
  [
    'an unknown command',
    ['complie', '--dry-run'],
    'there is no command "complie": did you mean compile? (portcullis --help)',
  ],
  ['half a command', ['expl'], 'there is no command "expl": did you mean explain? (portcullis --help)'],
  ['a command that is like no other', ['zzzzzz'], 'there is no command "zzzzzz" (portcullis --help)'],
  [
    'an unknown option of all',
    ['--versoin'],
    'there is no option --versoin: did you mean --version? (portcullis --help)',
  ],
  [
    'an unknown option',
    ['check', 'x', '--jsn'],
    'check has no option --jsn: did you mean --json? (portcullis check --help)',
  ],
  [
    'one letter more, where another one is how it begins',
    ['agent', '--source-tokens', 'x'],
    'agent has no option --source-tokens: did you mean --source-token? (portcullis agent --help)',
  ],
  [
    'one with a value',
    ['status', '--sokcet=/x'],
    'status has no option --sokcet: did you mean --socket? (portcullis status --help)',
  ],
  [
    'one that is like no other',
    ['check', 'x', '--nonsense'],
    'check has no option --nonsense (portcullis check --help)',
  ],
  ['a letter', ['check', '-x', 'x'], 'check has no option -x (portcullis check --help)'],
  [
    'a negated option',
    ['baseline', '--no-device-prefix'],
    'baseline has no option --no-device-prefix: did you mean --device-prefix? (portcullis baseline --help)',
  ],
  [
    'an unknown subcommand',
    ['hosts', 'enroll'],
    'hosts takes no argument "enroll": did you mean hosts enrol? (portcullis hosts --help)',
  ],
  [
    'an argument too many',
    ['release', 'vnet7', 'vnet8'],
    'release takes no further argument "vnet8" (portcullis release --help)',
  ],
  [
    'what is missing',
    ['explain', '-t', 'x', '--to', 'b'],
    'explain needs --from and --protocol (portcullis explain --help)',
  ],
  ['of a subcommand', ['hosts', 'enrol', 'h1'], 'hosts enrol needs --store (portcullis hosts enrol --help)'],
  ['a missing argument', ['release'], 'release needs DEVICE (portcullis release --help)'],
  ['no value', ['status', '--socket'], '--socket needs a value (portcullis status --help)'],
  ['no value of what is needed', ['compile', '-t'], 'compile needs --topology (portcullis compile --help)'],
  [
    'none of the choices',
    ['compile', '-t', 'x', '--backend', 'nftable'],
    '--backend: "nftable" is not one of nftables, iptables: did you mean nftables? (portcullis compile --help)',
  ],
  [
    'no shell',
    ['completion', 'fihs'],
    'SHELL: "fihs" is not one of bash, zsh, fish: did you mean fish? (portcullis completion --help)',
  ],
  [
    'no number',
    ['wait', '--latest', '--timeout', 'soon'],
    '--timeout: "soon" is not a number (portcullis wait --help)',
  ],
  ['what a command refuses itself', ['wait'], '--revision and --latest: valid is one of them'],
  ['no topology', ['check'], 'check needs --topology (-t), or paths'],
  [
    'two sources',
    [...EXPLAIN, 'icmp', '--api', 'http://x'],
    '--topology (-t), --api and --socket: valid is one of them',
  ],
  ['no port', [...EXPLAIN, 'tcp'], '--dst-port: tcp needs a destination port, or any'],
  ['a port of what has none', [...EXPLAIN, 'icmp', '--dst-port', '80'], '--dst-port: protocol icmp has no ports'],
  [
    'a port that is too great',
    [...EXPLAIN, 'tcp', '--dst-port', '80,70000'],
    '--dst-port: "70000" is none: valid is 0-65535, a range, several with commas, any, or a name such as http',
  ],
  ['a range that ends before it begins', [...EXPLAIN, 'tcp', '--dst-port', '9-8'], '--dst-port: "9-8" is none'],
  ['a name that is none', [...EXPLAIN, 'tcp', '--dst-port', 'htpps'], 'or a name such as http: did you mean https?'],
  [
    'a type that is a name',
    [...EXPLAIN, 'icmp', '--icmp-type', 'http'],
    '--icmp-type: "http" is none: valid is 0-255, a range, several with commas, any',
  ],
  [
    'a protocol that is none',
    [...EXPLAIN, 'tpc', '--dst-port', '1'],
    '--protocol: "tpc" is not a protocol (tcp, udp, icmp, ..., 0-255 or any): did you mean tcp?',
  ],
])('%s is said in one line, with what was probably meant and where more is said', async (_what, args, message) => {
  const error: unknown = await parse(args).catch((why: unknown) => why);
  expect(error).toBeInstanceOf(CommandError);
  if (!(error instanceof CommandError)) return;
  expect([error.exitCode, error.message.split('\n').length]).toEqual([64, 1]);
  if (message.endsWith('--help)')) expect(error.message).toBe(message);
  else expect(error.message).toContain(message);
});

it('the help of every command says what it takes, within the width', async () => {
  for (const name of COMMAND_NAMES) {
    const help = (await helpOf([name, '--help'], 80)) ?? '';
    expect(help).toMatch(new RegExp(`^portcullis ${name}( [A-Z.[\\]]+)*\n\n\\w`));
    const [text = ''] = help.split('\n\nExamples:');
    expect(Math.max(...text.split('\n').map((line) => line.length)), name).toBeLessThanOrEqual(80);
  }
});

it('help says aliases, choices, defaults and what is needed; that of all lists the commands', async () => {
  const compile = (await helpOf(['--help', 'compile'], 200)) ?? '';
  expect(compile).toMatch(/\n {2}-t, --topology +topology: a JSON or YAML file,/);
  expect(compile).toMatch(/\n {2}--format +nft text, .*\[text, json\]\n +\[default: text\]\n/);
  expect(await helpOf(['check', '--help'], 80)).toMatch(/^portcullis check \[PATHS\.\.\.\] \[OPTIONS\]\n/);
  expect(await helpOf(['hosts', 'enrol', '--help'], 80)).toMatch(
    /^portcullis hosts enrol HOST \[OPTIONS\]\n(.*\n)*.*\[needed\]/,
  );
  const all = (await helpOf(['--help'], 80)) ?? '';
  for (const name of COMMAND_NAMES) expect(all).toContain(`\n  ${name} `);
  expect(await helpOf(['complie', '--help'], 80)).toBeUndefined();
});

it.each([
  ['hsot', ['host', 'port'], 'host'],
  ['HOST', ['host'], 'host'],
  ['topo', ['topology', 'token-file'], 'topology'],
  ['x', ['json'], undefined],
  ['ab', ['cd'], undefined],
  ['', ['tcp'], undefined],
])('of %j the nearest word is found, or none', (typed, words, expected) => {
  expect(nearest(typed, words)).toBe(expected);
});
