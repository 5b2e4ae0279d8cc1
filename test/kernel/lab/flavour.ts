/** Which packet filter a test is about, and how a process gets the `iptables` that is meant. */
import { execaSync } from 'execa';
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
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

function linked(backend: 'iptables-nft' | 'iptables-legacy'): string {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-flavour-'));
  process.once('exit', () => {
    rmSync(folder, { recursive: true, force: true });
  });
  const flavour = backend.slice('iptables-'.length);
  for (const name of ['iptables', 'ip6tables']) {
    for (const end of ['', '-save', '-restore']) {
      const program = execaSync('which', [`${name}-${flavour}${end}`]).stdout;
      symlinkSync(program, join(folder, `${name}${end}`));
    }
  }
  return folder;
}
