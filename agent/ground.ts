/** What the reconcile loop stands on: a packet filter, the kernel, and time. */
import type { MakeBackend } from './backends/backend.js';
import { IptablesBackend } from './backends/iptables.js';
import { NftablesBackend } from './backends/nftables.js';
import { CLOCK, type Clock } from './clock.js';
import type { BackendName } from './kernel/backend-name.js';
import { KERNEL, type Kernel } from './kernel/driver.js';

export interface Ground {
  readonly backend: BackendName;
  readonly makeBackend: MakeBackend;
  readonly kernel: Kernel;
  readonly clock: Clock;
}

const MAKE: Readonly<Record<BackendName, MakeBackend>> = {
  nftables: (compiler, options, parts) => new NftablesBackend(compiler, options, parts),
  iptables: (compiler, options, parts) => new IptablesBackend(compiler, options, parts),
};

/** This machine, with one of its packet filters. */
export function thisMachine(backend: BackendName): Ground {
  return { backend, makeBackend: MAKE[backend], kernel: KERNEL, clock: CLOCK };
}
