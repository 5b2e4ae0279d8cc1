/** A host as the reader of a page of docs/ has it: a namespace, folders that are nobody else's, and a shell there as root. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execaSync } from 'execa';
import { Network } from '../../../src/cli/demo/network.js';
import { Shell, type ShellSettings } from '../../support/shell.js';

/** What a command may write to, beside its own folder: what is there is seen, what is written is seen by nobody else. */
const OWN_FOLDERS = ['/etc', '/usr/local/share', '/var/lib'];

export class ReadersHost {
  readonly folder = mkdtempSync(join(tmpdir(), 'portcullis-reader-'));
  readonly shell: Shell;
  readonly #network = new Network('pctest-');

  /** @param settings of the shell, by the folder of the host */
  constructor(settings: (folder: string) => Omit<ShellSettings, 'folder' | 'host'>) {
    const { folder } = this;
    execaSync('ip', ['-n', this.namespace, 'link', 'set', 'lo', 'up']);
    for (const name of ['run', 'own']) mkdirSync(join(folder, name), { mode: 0o755 });
    // Namespaces and the agent's socket have the names of the page: here they are nobody else's.
    const begin = [
      'mkdir -p /run/netns /run/portcullis',
      'mount -t tmpfs tmpfs /run/netns',
      `mount --bind ${folder}/run /run/portcullis`,
      `mount -t tmpfs tmpfs ${folder}/own`,
      ...OWN_FOLDERS.map((path, index) => {
        const own = `${folder}/own/${index.toString()}`;
        const layers = `lowerdir=${path},upperdir=${own}/upper,workdir=${own}/work`;
        return `mkdir -p ${own}/upper ${own}/work && mount -t overlay -o ${layers} overlay ${path}`;
      }),
    ];
    this.shell = new Shell({
      ...settings(folder),
      folder,
      host: { namespace: this.namespace, begin: begin.join(' && ') },
    });
  }

  get namespace(): string {
    return this.#network.host;
  }

  /** The status socket of the host's agent. */
  get socket(): string {
    return join(this.folder, 'run', 'agent.sock');
  }

  remove(): void {
    this.shell.end();
    this.#network.remove();
    rmSync(this.folder, { recursive: true });
  }
}
