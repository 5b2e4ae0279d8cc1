/** EtherTypes (linux/if_ether.h). */
import type { Family } from '../model/index.js';

export const ETHERTYPE: Readonly<Record<Family, number>> = { IPv4: 0x0800, IPv6: 0x86dd };
export const ETHERTYPE_ARP = 0x0806;
export const ETHERTYPE_RARP = 0x8035;
