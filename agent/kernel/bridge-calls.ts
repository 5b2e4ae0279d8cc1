/** The switches by which br_netfilter shows the packets of bridges to iptables and table inet (ip-sysctl.rst). */
import { readFile } from 'node:fs/promises';

const BRIDGE_CALLS = ['bridge-nf-call-iptables', 'bridge-nf-call-ip6tables'] as const;

export interface BridgeCall {
  readonly name: string;
  /** `missing`: the kernel lacks br_netfilter. */
  readonly state: 'on' | 'off' | 'missing';
}

/** The switches of this network namespace. */
export async function readBridgeCalls(): Promise<readonly BridgeCall[]> {
  return Promise.all(
    BRIDGE_CALLS.map(async (setting) => {
      const value = await readFile(`/proc/sys/net/bridge/${setting}`, 'utf8').catch(() => undefined);
      const state = value === undefined ? 'missing' : value.trim() === '1' ? 'on' : 'off';
      return { name: `net.bridge.${setting}`, state } as const;
    }),
  );
}
