/** Which packet filter of the kernel holds the rules. */
export type BackendName = 'nftables' | 'iptables';
