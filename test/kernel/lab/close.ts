/** Closes everything over netlink, as an agent without nft does. usage: close.js DEVICES (a list as JSON) */
import { closeTables, closingMessages } from '../../../agent/closing.js';
import { applyMessages } from '../../../agent/kernel/netlink-load.js';
import { DEFAULT_OPTIONS } from '../../../compiler/index.js';

const devices = JSON.parse(process.argv[2] ?? '[]') as readonly string[];
const everything = (['inet', 'arp', 'bridge'] as const).map((family) => ({ family, how: 'gone' }) as const);
await closeTables(applyMessages, closingMessages(DEFAULT_OPTIONS, devices), everything);
