/** The model: types of a topology and of a packet, their parsing, the problems. Imports nothing of ours. */
export * from './address.js';
export * from './mac.js';
export * from './packet.js';
export * from './problem.js';
export * from './protocol.js';
export * from './topology.js';
