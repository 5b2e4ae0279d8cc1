/** The configuration file: what is taken from it, what is refused and where it says that it stands. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { agentOptions } from '../../../src/cli/agent-options.js';
import { configured } from '../../../src/cli/configuration/configured.js';
import { parseConfiguration, SECTIONS } from '../../../src/cli/configuration/parse.js';
import { readConfiguration } from '../../../src/cli/configuration/read.js';
import type { OptionTable } from '../../../src/cli/configuration/schema.js';
import { CommandError } from '../../../src/cli/errors.js';
import { shownIn } from '../../support/manual-pages.js';

const EXAMPLE = 'examples/portcullis.yaml';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'portcullis-configuration-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** What is said of a text in place of the file, behind its exit status. */
function refused(content: string): string {
  try {
    parseConfiguration('p.yaml', content);
  } catch (error) {
    if (error instanceof CommandError) return `${error.exitCode.toString()} ${error.message}`;
    throw error;
  }
  return 'taken';
}

/** A value of an option, as it is written and as it is taken. */
function sample({ choices, array, type }: OptionTable[string]): readonly [string, unknown] {
  if (choices !== undefined) return [String(choices.at(-1)), choices.at(-1)];
  if (array === true) return ['[no, 0x10]', ['no', '0x10']];
  if (type === 'number') return ['12.5', 12.5];
  return type === 'boolean' ? ['true', true] : ['0x10', '0x10'];
}

describe('what is taken', () => {
  it.each(Object.entries(SECTIONS))('every option of %s, as if it were typed', (name, options: OptionTable) => {
    const samples = Object.entries(options).map(([option, kind]) => [option, ...sample(kind)] as const);
    const text = samples.map(([option, written]) => `  ${option}: ${written}\n`).join('');
    expect(parseConfiguration('p.yaml', `${name}:\n${text}`).sections[name as keyof typeof SECTIONS]).toEqual(
      Object.fromEntries(samples.map(([option, , taken]) => [option, taken])),
    );
  });

  it('one of a list without brackets; a section in which nothing stands; a name that other programs would take for a switch', () => {
    const { sections } = parseConfiguration('p.yaml', 'agent: { device-prefix: vnet, host: off }\napi:\n');
    expect(sections).toEqual({ agent: { 'device-prefix': ['vnet'], host: 'off' }, api: {} });
  });

  it('the example, in which nothing is said, and each of the lines that it holds ready', () => {
    const example = readFileSync(EXAMPLE, 'utf8');
    expect(parseConfiguration(EXAMPLE, example).sections).toEqual({ agent: {}, api: {} });
    let lines = 0;
    for (const [line, key = ''] of example.matchAll(/^ {2}# ([a-z-]+): .*$/gm)) {
      lines++;
      expect(refused(example.replace(line, line.replace('# ', '')))).toBe('taken');
      expect(Object.keys({ ...SECTIONS.agent, ...SECTIONS.api })).toContain(key);
    }
    expect(lines).toBeGreaterThan(10);
  });
});

it.each([
  ['nothing', '', '1 p.yaml: is empty'],
  ['comments alone', '# agent:\n', '1 p.yaml: has no section: valid are agent: and api:'],
  ['a document without a word', '---\n', '1 p.yaml: has no section: valid are agent: and api:'],
  ['what was cut', 'agent:\n  sour', '1 p.yaml: ends within a line: it is not written to its end'],
  ['half a list', 'agent:\n  device-prefix: [tap,\n', /^1 p\.yaml:3:1: is not YAML: [^\n]+$/],
  ['a key twice', 'agent:\n  host: a\n  host: b\n', /^1 p\.yaml:3:3: is not YAML: Map keys must be unique[^\n]*$/],
  ['two documents', 'agent:\n---\napi:\n', /^1 p\.yaml:2:1: is not YAML: [^\n]+$/],
  ['a text', 'agent\n', '64 p.yaml:1:1: "agent" is not a mapping of keys to values'],
  ['a list', '- agent\n', '64 p.yaml:1:1: ["agent"] is not a mapping of keys to values'],
  ['another section', 'agents:\n', '64 p.yaml:1:1: "agents" is no section: did you mean agent?'],
  ['a section of nobody', 'api:\nbaseline:\n', '64 p.yaml:2:1: "baseline" is no section: valid are agent and api'],
  ['a section that is a text', 'agent: yes\n', '64 p.yaml:1:8: agent: "yes" is not a mapping of keys to values'],
  [
    'one letter more, where another key is how it begins',
    'agent:\n  source-tokens: x\n',
    '64 p.yaml:2:3: agent: "source-tokens" is no option of agent: did you mean source-token?',
  ],
  ['another key', 'agent:\n  sorce: x\n', '64 p.yaml:2:3: agent: "sorce" is no option of agent: did you mean source?'],
  [
    'a key of nobody',
    'api:\n  colour: x\n',
    '64 p.yaml:2:3: api: "colour" is no option of api: portcullis api --help lists them',
  ],
  ['its own name', 'agent:\n  config: x\n', /^64 p\.yaml:2:3: agent: "config" is no option of agent/],
  ['no number', 'agent:\n  verify: 1h\n', '64 p.yaml:2:11: agent.verify: "1h" is not a number'],
  ['no switch', 'agent:\n  audit: yes\n', '64 p.yaml:2:10: agent.audit: "yes" is neither true nor false'],
  [
    'none of the words',
    'agent:\n  datapath: bridg\n',
    '64 p.yaml:2:13: agent.datapath: "bridg" is none of routed, bridge, bridge-netfilter, auto: did you mean bridge?',
  ],
  ['nothing behind a key', 'agent:\n  host:\n', '64 p.yaml:2:8: agent.host: "" says nothing'],
  ['a mapping for a text', 'agent:\n  host: { a: b }\n', '64 p.yaml:2:9: agent.host: {"a":"b"} is not a text'],
  ['an empty list', 'agent:\n  device-prefix: []\n', '64 p.yaml:2:18: agent.device-prefix: [] says nothing'],
  [
    'a list in a list',
    'agent:\n  device-prefix: [[a]]\n',
    '64 p.yaml:2:19: agent.device-prefix.0: ["a"] is not a text',
  ],
  [
    'more than one mistake',
    'api:\n  rate: x\nagent:\n  audit: 1\n',
    '64 p.yaml:2:9: api.rate: "x" is not a number (and 1 more)',
  ],
  [
    'what would break the line',
    'agent:\n  "a\\nb": x\n',
    /^64 p\.yaml:2:3: agent: "a\\nb" is no option of agent[^\n]*$/,
  ],
])('%s is one line, and nothing of the file is taken', (_what, content, said) => {
  expect(refused(content)).toEqual(typeof said === 'string' ? said : expect.stringMatching(said));
});

it('the manual shows what is said of a file that is not taken', () => {
  const path = 'docs/man/portcullis.yaml.5.md';
  const shown = shownIn(path, readFileSync(path, 'utf8')).find(({ kind }) => kind === 'output');
  expect(
    refused('# A comment.\nagent:\n  sorce: x\n').replace('64 p.yaml', 'error: /etc/portcullis/portcullis.yaml'),
  ).toBe(shown?.text.trim());
});

describe('where a value comes from', () => {
  const fileOf = (content: string): string => {
    const file = join(folder, 'options.yaml');
    writeFileSync(file, content);
    return file;
  };

  it('what is typed comes first, then the file, then what is usual', async () => {
    const config = fileOf('agent:\n  host: filed\n  verify: 60\n  audit: true\n');
    const seen: unknown[] = [];
    const handler = configured('agent', agentOptions, async (args) => {
      await Promise.resolve(seen.push([args.host, args.verify, args.audit, args.datapath, args.source]));
    });
    await handler({ config, host: 'typed', audit: false });
    expect(seen).toEqual([['typed', 60, false, 'routed', undefined]]);
  });

  it('an error that names an option of the file says where it stands; of one that was typed it does not', async () => {
    const config = fileOf('agent:\n  host: filed\n  verify: 0\n');
    const handler = configured('agent', agentOptions, async () => {
      await Promise.reject(new CommandError(64, '--verify: 0 is not a number of seconds'));
    });
    const said = handler({ config });
    await expect(said).rejects.toMatchObject({
      exitCode: 64,
      message: `${config}:3:11: --verify: 0 is not a number of seconds`,
    });
    await expect(handler({ config, verify: 0 })).rejects.toThrow(/^--verify: 0 is not/);
  });

  it('a file that is named must be there, and be a file', async () => {
    await expect(readConfiguration(join(folder, 'none'))).rejects.toMatchObject({
      exitCode: 1,
      message: `--config: ${join(folder, 'none')}: is not there`,
    });
    await expect(readConfiguration(folder)).rejects.toThrow(/is a folder: valid is a regular file/);
    execFileSync('mkfifo', [join(folder, 'pipe')]);
    await expect(readConfiguration(join(folder, 'pipe'))).rejects.toThrow(/is a named pipe/);
  });

  it('a daemon does not start with a file that is wrong, and says so in one line; its help is there all the same', async () => {
    const run = async (...args: readonly string[]): Promise<unknown> => {
      const { exitCode, stdout, stderr } = await execa(process.execPath, ['dist/bin/portcullis.js', ...args], {
        reject: false,
      });
      return [exitCode, stdout.split('\n')[0], stderr];
    };
    const wrong = fileOf('agent:\n  device-prefix: [vnet]\napi:\n  store: x\n  rate: 0\n');
    expect(
      await Promise.all([
        run('api', '--config', wrong),
        run('agent', '--config', wrong, '--audit', '--backend', 'iptables'),
        run('agent', '--config', join(folder, 'none'), '--help'),
      ]),
    ).toEqual([
      [64, '', `error: ${wrong}:5:9: --rate: 0 is not a number of 1 or more (portcullis api --help)`],
      [64, '', expect.stringMatching(/^error: --audit: not with --backend iptables, .*\n?$/)],
      [0, 'portcullis agent [OPTIONS]', ''],
    ]);
    const baseline = ['dist/bin/portcullis.js', 'baseline', '--dry-run', '--config'];
    expect((await execa(process.execPath, [...baseline, wrong])).stdout).toContain('"vnet*"');
    const none = await execa(process.execPath, [...baseline, join(folder, 'none')], { reject: false });
    expect([none.exitCode, none.stdout]).toEqual([1, '']);
  });
});
