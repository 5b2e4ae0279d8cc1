/** What the running kernel can do, asked before anything is loaded. */
import type { Datapath } from '../../compiler/index.js';
import { KernelError } from './errors.js';
import { wouldApply } from './nft.js';

/** Only checked, never loaded. A kernel without nf_conntrack_bridge answers "Protocol error" to it. */
const BRIDGE_TRACKING = `table bridge portcullis_probe {
chain probe {
ct state established accept
}
}
`;

/**
 * @throws KernelError `unsupported` when the kernel cannot enforce that datapath; the message says what to load.
 */
export async function probeDatapath(datapath: Datapath): Promise<void> {
  switch (datapath) {
    case 'routed':
      return;
    case 'bridge':
      if (await wouldApply(BRIDGE_TRACKING)) return;
      throw new KernelError(
        'unsupported',
        '--datapath bridge: the kernel does not track connections in the bridge family: load nf_conntrack_bridge ' +
          '(modprobe nf_conntrack_bridge), or use a kernel that has it (CONFIG_NF_CONNTRACK_BRIDGE)',
      );
  }
}
