/** What an operator may choose about compilation. */
import type { Family } from './model/index.js';
import type { Datapath } from './datapath.js';

export interface CompileOptions {
  readonly datapath: Datapath;
  /**
   * Devices whose name starts with one of these and that belong to no port are closed. 1-14 characters each, sorted, and none
   * the beginning of another, so that the same choice gives the same rules.
   */
  readonly devicePrefixes: readonly string[];
  /** The conntrack mark bit that says "this flow's permission was revoked". One bit of 32, ours alone. */
  readonly revokedMark: number;
  /** The lower of two neighbouring bits of the conntrack mark, ours alone, that say which end admitted a flow. */
  readonly admittedMark: number;
  /**
   * The lowest of three neighbouring bits of the packet mark, ours alone, that tell table bridge what is known of a packet's
   * flow. Used by the datapath `bridge-netfilter`.
   */
  readonly stateMark: number;
  /**
   * Allowed address pairs with a shorter prefix than this stay out of member sets: one 0.0.0.0/0 pair would open every
   * rule that names the port's group.
   */
  readonly widestPairLength: Readonly<Record<Family, number>>;
  /** Ethertypes that ports on bridges may send (with their own MAC) and get, beside IPv4, IPv6, ARP and RARP; 0x0600-0xffff. */
  readonly ethertypes: readonly number[];
  /** What would be dropped passes, and is counted. */
  readonly audit: boolean;
}

export const DEFAULT_OPTIONS: CompileOptions = {
  datapath: 'routed',
  devicePrefixes: ['tap'],
  revokedMark: 0x1000_0000,
  admittedMark: 0x2000_0000,
  stateMark: 0x0200_0000,
  widestPairLength: { IPv4: 8, IPv6: 32 },
  ethertypes: [],
  audit: false,
};

/** True for devices that are closed unless a port is known for them. */
export function isManagedDevice({ devicePrefixes }: Pick<CompileOptions, 'devicePrefixes'>, device: string): boolean {
  return devicePrefixes.some((prefix) => device.startsWith(prefix));
}
