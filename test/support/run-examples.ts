/** Runs examples of the docs as they stand, in a shell of somebody who reads them. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { Examples, Outcome } from './examples.js';
import type { Shell } from './shell.js';
import { until } from './waiting.js';

/** What begins with `portcullis` begins the program that the other tests run. */
export const PORTCULLIS = `exec '${process.execPath}' '${process.cwd()}/dist/bin/portcullis.js' "$@"`;

interface AtWork {
  readonly text: string;
  readonly pid: string;
  readonly said: () => string;
}

/**
 * @param folder where what is said by those that stay is kept
 * @param settled comes back when what began to stay has done what it begins with
 */
export async function runExamples(
  shell: Shell,
  folder: string,
  examples: Examples,
  settled: (text: string) => Promise<void> = async () => Promise.resolve(),
): Promise<void> {
  const staying: AtWork[] = [];
  const endAll = async (): Promise<void> => {
    for (const one of staying.splice(0).reverse()) await end(shell, one);
  };
  for (const [index, [text, outcome]] of Object.entries(examples).entries()) {
    if (outcome.isAlone === true) await endAll();
    const { stays, shows } = outcome;
    const says = stays ?? shows;
    if (says === undefined) {
      await runOne(shell, text, outcome);
      continue;
    }
    const one = await begin(shell, text, join(folder, `said-${index.toString()}`));
    await until({
      what: `\`${text}\` to say ${says.source}`,
      probe: one.said,
      check: (said) => expect(said).toMatch(says),
      said: one.said,
    });
    if (stays === undefined) await end(shell, one);
    else {
      staying.push(one);
      await settled(text);
    }
  }
  await endAll();
}

async function runOne(shell: Shell, text: string, { exit = [0], prints, typed }: Outcome): Promise<void> {
  const { exit: status, printed } = await shell.paste(
    `{ ${text}\n} ${typed === undefined ? '< /dev/null' : `<<< '${typed}'`}`,
  );
  // All that is wrong is said, not what comes first alone.
  expect.soft(exit, `${text}\n${printed}`).toContain(status);
  if (typeof prints === 'string') expect.soft(printed, text).toContain(prints);
  else if (prints !== undefined) expect.soft(printed, text).toMatch(prints);
}

/** The last command of the text becomes the process that is ended later. What it says is asked for at once: the file is there before it. */
async function begin(shell: Shell, text: string, log: string): Promise<AtWork> {
  const { printed } = await shell.paste(`: > ${log}; { exec ${text}\n} < /dev/null >> ${log} 2>&1 & echo $!`);
  return { text, pid: printed.trim(), said: () => readFileSync(log, 'utf8') };
}

async function end(shell: Shell, { text, pid, said }: AtWork): Promise<void> {
  const { exit } = await shell.paste(`kill ${pid}; wait ${pid}`);
  // By the signal, or because it was asked to end.
  expect([0, 143], `${text}\n${said()}`).toContain(exit);
}
