/** What the running kernel can do, asked before anything is loaded. */
import { access } from 'node:fs/promises';
import { isManagedDevice, type CompileOptions, type Datapath } from '../../compiler/index.js';
import type { BackendName } from './backend-name.js';
import { listLinks } from '../netlink/links.js';
import { readBridgeCalls } from './bridge-calls.js';
import type { Kernel } from './driver.js';
import { KernelError } from './errors.js';

/** Only checked, never loaded. A kernel without nf_conntrack_bridge answers "Protocol error" to it. */
export const BRIDGE_TRACKING = `table bridge portcullis_probe {
chain probe {
ct state established accept
}
}
`;

/**
 * @throws KernelError `unsupported` when the kernel cannot enforce that; the message says what to load, to install or to set.
 */
export async function probeDatapath(kernel: Kernel, datapath: Datapath, backend: BackendName): Promise<void> {
  // Says which program is missing, or that it may not be used.
  if (backend === 'iptables') await kernel.iptables.read();
  switch (datapath) {
    case 'routed':
      return;
    case 'bridge':
      if (await kernel.wouldApply(BRIDGE_TRACKING)) return;
      throw new KernelError(
        'unsupported',
        '--datapath bridge: the kernel does not track connections in the bridge family: load nf_conntrack_bridge ' +
          '(modprobe nf_conntrack_bridge), or use a kernel that has it (CONFIG_NF_CONNTRACK_BRIDGE), or br_netfilter with ' +
          '--datapath bridge-netfilter',
      );
    case 'bridge-netfilter':
      for (const { name, state } of await readBridgeCalls()) {
        if (state === 'on') continue;
        throw new KernelError(
          'unsupported',
          state === 'missing'
            ? '--datapath bridge-netfilter: the kernel lacks br_netfilter: load it (modprobe br_netfilter)'
            : `--datapath bridge-netfilter: ${name} is off, so that table inet sees no packet of a bridge: ` +
                `set it (sysctl -w ${name}=1)`,
        );
      }
  }
}

/**
 * How taps reach this host, by those that are there: on a bridge, as the kernel can enforce it, or else routed. Undefined while
 * there is none, or none that is up.
 * @param managed what the names of taps start with.
 */
export async function detectDatapath(
  kernel: Kernel,
  managed: Pick<CompileOptions, 'devicePrefixes'>,
  backend: BackendName,
): Promise<Datapath | undefined> {
  const taps = (await listLinks()).filter(({ name }) => isManagedDevice(managed, name));
  const isPlugged = await Promise.all(taps.map(async ({ name }) => isBridgePort(name)));
  if (isPlugged.includes(true)) {
    return backend === 'nftables' && (await kernel.wouldApply(BRIDGE_TRACKING)) ? 'bridge' : 'bridge-netfilter';
  }
  return taps.some(({ isUp }) => isUp) ? 'routed' : undefined;
}

/** The kernel has this folder for devices that are plugged into a bridge (net/bridge/br_sysfs_if.c). */
async function isBridgePort(device: string): Promise<boolean> {
  return access(`/sys/class/net/${device}/brport`).then(
    () => true,
    () => false,
  );
}
