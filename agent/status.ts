/** What an agent says of itself: the JSON of `portcullis status --json` and of its socket. */

import type { Legend } from '../compiler/index.js';
import type { BackendName } from './kernel/backend-name.js';
import type { CountingSinceJson } from './counting-since.js';

export type PortState =
  /** Its rules are in the kernel, and get its packets to judge. */
  | 'enforced'
  /** Its rules are not in the kernel yet, its packets pass them by, or it is not known. */
  | 'pending'
  /** The kernel refused its rules: it is closed. */
  | 'refused'
  /** Port security is off, or its owner is trusted. */
  | 'unfiltered'
  /** Administratively down: closed. */
  | 'down'
  /** What the source says of it is not valid, and was not before: closed. */
  | 'closed';

/** An object of the topology that is not valid: everything else is enforced. */
export interface IsolatedStatus {
  /** "security group rule r1 of group g1". */
  readonly object: string;
  readonly inForce: 'last good version' | 'nothing';
  /** What that means. */
  readonly consequence: string;
  /** What is wrong with it, where, and what would be valid. */
  readonly problems: readonly string[];
  /** Ids of this host's ports that it concerns. */
  readonly ports: readonly string[];
  /** False when it concerns ports of other hosts alone. */
  readonly isHere: boolean;
}

export interface PortStatus {
  readonly id: string;
  readonly name: string;
  readonly device: string;
  readonly isDevicePresent: boolean;
  readonly state: PortState;
  /** When this port last changed, ISO 8601. */
  readonly since: string;
  readonly securityGroups: readonly { readonly id: string; readonly name: string }[];
  readonly lastError: string | undefined;
}

/** What the counters of this host's rules are of: the JSON of the socket's `/counted`. */
export interface Counted extends Legend {
  readonly since: CountingSinceJson;
}

export interface AgentStatus {
  readonly version: string;
  readonly host: string;
  readonly pid: number;
  readonly startedAt: string;
  readonly datapath: string;
  readonly backend: BackendName;
  /** True: nothing is enforced, what would be dropped is counted. */
  readonly audit: boolean;
  /** True: the kernel holds the rules that the agent wants, as far as is known. */
  readonly loaded: boolean;
  /** True: they are loaded, and this is no audit. */
  readonly enforced: boolean;
  /** True: what the source said last is loaded, too, and live flows were judged by it. False while a change is under way. */
  readonly settled: boolean;
  /** Since when a change waits that is not in force; undefined while none has waited for long. */
  readonly lateSince: string | undefined;
  readonly lastError: string | undefined;
  /** What of a former packet filter's rules could not be removed, and why. They only take away; it is tried again. */
  readonly leftover: string | undefined;
  /** Rules of others in iptables at which packets may end before they get to ours; ours go back to the front. */
  readonly overtaking: readonly string[];
  /** Addresses that networks of this host share, and who pays for it. */
  readonly overlaps: readonly string[];
  /** Rules of others that write whole conntrack marks or, with br_netfilter, whole packet marks: our bits go with them. */
  readonly markWriters: readonly string[];
  readonly source: {
    readonly name: string;
    /** The newest revision whose rules the kernel holds; undefined while there is none, or the source has none. */
    readonly revision: number | undefined;
    readonly readAt: string | undefined;
    /** Since when what is there cannot be used; undefined while it can. */
    readonly staleSince: string | undefined;
    /** True while a topology is held back that lost this host's ports: `portcullis accept` obeys it. */
    readonly isHeld: boolean;
    readonly problems: readonly string[];
  };
  /** The process that hears what others change. */
  readonly watching: {
    /** Since when it does not; undefined while it does. */
    readonly awaySince: string | undefined;
    readonly losses: number;
    readonly lastReason: string | undefined;
  };
  readonly lastTransaction:
    | {
        readonly at: string;
        readonly way: string;
        readonly reason: string;
        readonly milliseconds: number;
        readonly latencyMilliseconds: number;
      }
    | undefined;
  readonly drift: { readonly foreign: number; readonly found: number; readonly last: string | undefined };
  readonly flows: { readonly revoked: number; readonly restored: number };
  readonly isolated: readonly IsolatedStatus[];
  /** Devices that were a port's once and are closed since then: `portcullis release` leaves one alone. */
  readonly formerDevices: readonly string[];
  /** Devices that look like guests' and are neither a port's nor of the managed prefix: nothing is filtered there. */
  readonly notFiltered: readonly string[];
  readonly ports: readonly PortStatus[];
}
