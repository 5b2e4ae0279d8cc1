/** For who needs nothing else of the compiler: it is loaded in a fraction of the time. */
export { printTables } from './nftables/text.js';
