/** Examples of README.md and of the manual that need root, an API or an agent: as they stand, on a host of their own. */
import { mkdirSync, symlinkSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { execaSync } from 'execa';
import { expect, it, onTestFinished } from 'vitest';
import { loadTopology } from '../../src/sources/file/index.js';
import { ON_A_HOST } from '../support/examples.js';
import { PORTCULLIS, runExamples } from '../support/run-examples.js';
import { agentStatus } from '../support/unix-http.js';
import { eventually } from '../support/waiting.js';
import { ReadersHost } from './lab/readers-host.js';

const API = 'http://127.0.0.1:9696';
const DEMO = resolve('dist/src/cli/demo/main.js');

const PROGRAMS: Readonly<Record<string, string>> = {
  portcullis: PORTCULLIS,
  // What `npm start` begins with was done before: the packages and the build are there that this test runs with.
  npm: `[ "$*" = start ] && exec '${process.execPath}' '${DEMO}'`,
};
/** Shells that are installed. */
const SHELLS = 'mkdir -p /etc/bash_completion.d /etc/fish/completions /usr/local/share/zsh/site-functions';

/** A folder to work in, with the examples that the package and the checkout bring. */
function workFolder(folder: string): string {
  const work = join(folder, 'work');
  mkdirSync(work);
  symlinkSync(resolve('examples'), join(work, 'examples'));
  return work;
}

/** Devices as something that runs guests makes them. */
async function plugDevices(namespace: string): Promise<void> {
  const { topology } = await loadTopology('examples/web-and-database.yaml');
  const links = [...topology.ports.values()].map(({ device }) => `link add ${device} up type veth\n`);
  execaSync('ip', ['-n', namespace, '-batch', '-'], { input: links.join('') });
}

it('what README.md and the manual have root type does what they say', async () => {
  const host = new ReadersHost((folder) => ({
    programs: PROGRAMS,
    cwd: workFolder(folder),
    env: { OS_AUTH_TYPE: 'none', OS_ENDPOINT: API, NEUTRON: API, TOKEN: 'of-anybody' },
  }));
  onTestFinished(() => {
    host.remove();
  });
  await plugDevices(host.namespace);
  expect(await host.shell.paste(SHELLS)).toMatchObject({ exit: 0 });
  await runExamples(host.shell, host.folder, ON_A_HOST, async (text) => {
    if (!text.startsWith('portcullis agent ')) return;
    // It says what it does before it can be asked; what it does not obey it does not settle for.
    await eventually(async () => {
      const status = await agentStatus(host.socket).catch(() => undefined);
      return status !== undefined && (status.settled || text.includes(' --source api:'));
    });
  });
});
