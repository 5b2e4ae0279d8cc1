/** Names within iptables' and ipset's limits. */
import { FAMILIES, type Family } from '../model/index.js';
import { digest } from '../names.js';

/** XT_EXTENSION_MAXNAMELEN less its end (linux/netfilter/x_tables.h). */
const LONGEST_CHAIN = 28;
/** IPSET_MAXNAMELEN less its end (linux/netfilter/ipset/ip_set.h). */
const LONGEST_SET = 31;
/** What the names of our chains and sets start with. */
const OURS = 'pc-';
/** The kernel's own chains of raw and mangle. */
export const OF_THE_KERNEL: ReadonlySet<string> = new Set(['PREROUTING', 'INPUT', 'FORWARD', 'OUTPUT', 'POSTROUTING']);
const SAFE = /^[A-Za-z0-9_.-]+$/;

/** The name of a chain of ours: readable where it fits. */
export function chainName(name: string): string {
  return fitting(name, LONGEST_CHAIN);
}

/** The name of a set of ours. */
export function setName(name: string): string {
  return fitting(name, LONGEST_SET);
}

/** The name that {@link chainName} or {@link setName} was given, where it fits. */
export function nameWithin(name: string): string {
  return isOurs(name) ? name.slice(OURS.length) : name;
}

/** True for the name of a chain or set of ours, of what is read back. */
export function isOurs(name: string): boolean {
  return name.startsWith(OURS);
}

/** True of the kernel's own form of a rule that leads to ours. */
export function mentionsOurs(rule: Buffer): boolean {
  return rule.includes(OURS);
}

function fitting(name: string, longest: number): string {
  const room = longest - OURS.length;
  return OURS + (name.length <= room && SAFE.test(name) ? name : digest(name, room));
}

/** Where groups lead what they let pass: see ruleset/admission.ts. */
export const ADMIT_CHAIN = { egress: chainName('admit_out'), ingress: chainName('admit_in') } as const;

/** The fixed IPs of filtered ports: refused as sources from everybody else, where the host routes. */
export const ownAddressesName = (family: Family): string => setName(family === 'IPv4' ? 'addresses4' : 'addresses6');

/** What only stateless ports of this host may send from: see zones.ts. */
export const statelessName = (family: Family): string => setName(family === 'IPv4' ? 'stateless4' : 'stateless6');

/** Sets of what ports may send from. */
export const SETS_OF_PORTS: ReadonlySet<string> = new Set(
  FAMILIES.flatMap((family) => [ownAddressesName(family), statelessName(family)]),
);

/** Sets whose entries close something: what comes into them is narrower, what leaves them is wider. */
export const CLOSING_SETS: ReadonlySet<string> = new Set(FAMILIES.map(ownAddressesName));
