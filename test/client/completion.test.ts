/** What zsh and fish make of our scripts. Bash is everywhere, and in the unit tier. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { completionScript, type Shell } from '../../src/cli/completion-scripts.js';

const EXAMPLE = 'examples/web-and-database.yaml';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'portcullis-shells-'));
  symlinkSync(resolve('dist/bin/portcullis.js'), join(folder, 'portcullis'));
  for (const shell of ['zsh', 'fish'] as const) writeFileSync(join(folder, shell), completionScript(shell));
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

function printed(shell: Shell, args: readonly string[]): readonly string[] {
  const env = { ...process.env, HOME: folder, PATH: `${folder}:${process.env['PATH'] ?? ''}` };
  return execFileSync(shell, args, { encoding: 'utf8', env }).trimEnd().split('\n');
}

/** The function of the script, with what zsh has for completion in place of the line editor: it prints what it is given. */
function inZsh(...words: readonly string[]): readonly string[] {
  const script = `compdef() {}
_files() { print -r -- "(files)" }
_describe() { print -rl -- "\${(@P)2}" }
source "$1"; shift
words=(portcullis "$@"); CURRENT=$#words
_portcullis`;
  return printed('zsh', ['-f', '-c', script, 'zsh', join(folder, 'zsh'), ...words]);
}

function inFish(line: string): readonly string[] {
  return printed('fish', ['--no-config', '-c', `source ${join(folder, 'fish')}; complete -C '${line}'`]);
}

const isThere = (shell: Shell): boolean => spawnSync(shell, ['--version']).status === 0;

describe.skipIf(!isThere('zsh'))('zsh (not run where it is not installed)', () => {
  it('completes commands, choices, ports and files', () => {
    expect(inZsh('ex')).toEqual(['explain:', 'export:']);
    expect(inZsh('compile', '--datapath=rou')).toEqual(['--datapath=routed:']);
    expect(inZsh('explain', '-t', EXAMPLE, '--from', 'web-1')).toEqual(['web-1:10.0.0.11 fd00:0:0:1::11']);
    expect(inZsh('check', '')).toEqual(['(files)']);
  });
});

describe.skipIf(!isThere('fish'))('fish (not run where it is not installed)', () => {
  it('completes commands, choices, ports and files', () => {
    expect(inFish('portcullis ex')).toEqual(['explain', 'export']);
    expect(inFish('portcullis compile --datapath rou')).toEqual(['routed']);
    expect(inFish(`portcullis explain -t ${EXAMPLE} --from web-1`)).toEqual(['web-1\t10.0.0.11 fd00:0:0:1::11']);
    expect(inFish('portcullis check examples/web')).toEqual([EXAMPLE]);
  });
});
