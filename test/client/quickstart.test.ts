/** docs/quickstart.md, as it stands, on a host of its own: each thing that somebody pastes, one after the other. */
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { execaSync } from 'execa';
import { expect, it, onTestFinished } from 'vitest';
import { pastesOf, shellBlocks } from '../support/pasted.js';
import { step } from '../support/progress.js';
import { agentStatus } from '../support/unix-http.js';
import { eventually } from '../support/waiting.js';
import { ReadersHost } from './lab/readers-host.js';
import { WarmClient } from './warm-client.js';

const PAGE = 'docs/quickstart.md';

/** Programs that stand before others of their name. */
const programsOf = (folder: string): Readonly<Record<string, string>> => ({
  // We are root.
  sudo: 'exec "$@"',
  // It was done before: the packages are there that this test runs with.
  npm: '[ "$*" = "run setup" ] || exit 1',
  // The client that stays: each command would import the same modules for a second.
  openstack: `code=$({ printf '%q ' openstack "$@"; echo; env | grep '^OS_'; } | curl -sS --unix-socket ${folder}/client --data-binary @- -o ${folder}/answer -w '%{http_code}' http://client/)
if [ "$code" = 200 ]; then cat ${folder}/answer; else cat ${folder}/answer >&2; exit 1; fi`,
});

/** Answers for the client: a line as it was typed, then its environment; 200 with what it printed, or what it said was wrong. */
async function serveClient(path: string, client: WarmClient): Promise<() => void> {
  const server = createServer((asked, answer) => {
    let body = '';
    asked.on('data', (chunk: Buffer) => (body += chunk.toString()));
    asked.on('end', () => {
      const [line = '', ...env] = body.trim().split('\n');
      const around = Object.fromEntries(env.map((one) => one.split(/=(.*)/s).slice(0, 2) as [string, string]));
      step(line);
      void client.run(line, { PATH: process.env['PATH'], HOME: process.env['HOME'], ...around }).then(
        ({ exit, out, err }) => answer.writeHead(exit === 0 ? 200 : 500).end(exit === 0 ? out : err),
        (error: unknown) => answer.writeHead(500).end(String(error)),
      );
    });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return () => server.close();
}

it('what is pasted from the quickstart does what it says', async () => {
  const host = new ReadersHost((folder) => ({ programs: programsOf(folder) }));
  const client = new WarmClient(host.namespace, host.shell.said);
  const close = await serveClient(join(host.folder, 'client'), client);
  onTestFinished(() => {
    close();
    client.end();
    host.remove();
  });
  let tried = 0;
  for (const text of shellBlocks(readFileSync(PAGE, 'utf8')).flatMap(pastesOf)) {
    const { exit, printed } = await host.shell.paste(text);
    expect(exit, `${text}\n${host.shell.said()}`).toBe(0);
    const [, from = '', to = '', port = '', does] = /^try (\S+) (\S+) (\d+) +# (reaches|does not)/.exec(text) ?? [];
    if (does !== undefined) {
      tried++;
      expect(printed, text).toContain(`${from} ${does === 'reaches' ? 'reaches' : 'does not reach'} ${to}:${port}\n`);
    }
    // Whoever reads takes a while between two of them.
    if (text.startsWith('openstack ')) await eventually(async () => (await agentStatus(host.socket)).settled);
    if (text.startsWith('sudo npx portcullis status ')) expect(printed).toContain('enforced');
  }
  expect(tried).toBe(5);
  expect(execaSync('ip', ['netns', 'exec', host.namespace, 'nft', 'list', 'tables']).stdout).not.toContain(
    'portcullis',
  );
});
