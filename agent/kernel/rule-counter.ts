/** What a rule of ours has counted, in nftables or in iptables. */
export interface Count {
  readonly packets: number;
  readonly bytes: number;
}

export interface RuleCounter extends Count {
  /** `ip` and `ip6`: rules of iptables. */
  readonly family: string;
  readonly chain: string;
  /** The rule's own digits, by which it is told from the others of its chain; rules of iptables have none. */
  readonly digest: string;
  /** What the rule is for. */
  readonly label: string;
  /** `would-drop` in audit mode. */
  readonly verdict: 'accept' | 'drop' | 'would-drop';
  /** True of what everybody gets who is on a network, and of what the host itself sends: nobody's loss. */
  readonly isNoise: boolean;
}
