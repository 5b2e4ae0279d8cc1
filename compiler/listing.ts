/** What the kernel holds, read: beside `index.js`, since printing rules needs neither it nor the library that it validates with. */
export { readListing } from './nftables/listing.js';
export { conditionsOf, readRules, type Condition, type ReadRule } from './nftables/conditions.js';
