/** A port of which nothing is in force but that its device is closed. */
import { parseMac } from './mac.js';
import type { Port } from './topology.js';

/** Whom a closed port's MAC is nobody asks. */
const NO_MAC = parseMac('02:00:00:00:00:00');

/** @param fields what is known of it. */
export function closedPort(fields: Pick<Port, 'id' | 'device'> & Partial<Port>): Port {
  if (NO_MAC === undefined) throw new Error('unreachable: the address is one');
  return {
    name: '',
    projectId: '',
    // Behind every id, so that no network's zone is another because of it.
    networkId: '~closed',
    mac: NO_MAC,
    fixedIps: [],
    allowedAddressPairs: [],
    securityGroupIds: [],
    filtering: 'closed',
    deviceOwner: '',
    host: undefined,
    migratingTo: undefined,
    bridge: fields.device,
    vlan: undefined,
    ...fields,
  };
}
