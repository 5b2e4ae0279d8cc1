/** What the kernel holds, read: beside `index.js`, since printing rules needs neither it nor the library that it validates with. */
export { readListing } from './nftables/listing.js';
export { asListed, conditionsOf, readRules, type Condition, type ReadRule } from './nftables/conditions.js';
export { groupConditions } from './iptables/conditions.js';
export { readDeviceRule, readDispatch } from './iptables/dispatch.js';
export { jumpOfAll } from './iptables/rule.js';
export { ENTRIES } from './iptables/entries.js';
export { chainName, nameWithin, setName, SETS_OF_PORTS } from './iptables/names.js';
export { fromPortName, portChainNames, readSources } from './iptables/port.js';
