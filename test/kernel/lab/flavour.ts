/** Which packet filter a test is about, and how a process gets the `iptables` that is meant. */
import { execaSync } from 'execa';
import { mkdirSync, renameSync, symlinkSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import type { BackendName } from '../../../agent/index.js';

const BACKENDS = ['nftables', 'iptables-nft', 'iptables-legacy'] as const;
export type LabBackend = (typeof BACKENDS)[number];

export function labBackend(text: string): LabBackend {
  const backend = BACKENDS.find((one) => one === text);
  if (backend === undefined) throw new Error(`${text} is none of ${BACKENDS.join(', ')}`);
  return backend;
}

export function backendName(backend: LabBackend): BackendName {
  return backend === 'nftables' ? 'nftables' : 'iptables';
}

const folders = new Map<LabBackend, string>();

/** The environment in which `iptables` is that one. */
export function environment(backend: LabBackend): Readonly<Record<string, string>> {
  if (backend === 'nftables') return {};
  const folder = folders.get(backend) ?? linked(backend);
  folders.set(backend, folder);
  return { PATH: `${folder}${delimiter}${process.env['PATH'] ?? ''}` };
}

/** A folder among what npm keeps; many processes may make it at once. */
function linked(backend: 'iptables-nft' | 'iptables-legacy'): string {
  const folder = resolve('node_modules', '.cache', backend);
  mkdirSync(folder, { recursive: true });
  const flavour = backend.slice('iptables-'.length);
  for (const name of ['iptables', 'ip6tables']) {
    for (const end of ['', '-save', '-restore']) {
      const program = execaSync('which', [`${name}-${flavour}${end}`]).stdout;
      const made = join(folder, `.${name}${end}.${process.pid.toString()}`);
      symlinkSync(program, made);
      renameSync(made, join(folder, `${name}${end}`));
    }
  }
  return folder;
}
