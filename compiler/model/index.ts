/** The model: types of a topology and of a packet, their parsing, the problems. Imports nothing of ours. */
export * from './address.js';
export * from './changes.js';
export { closedPort } from './closed-port.js';
export * from './isolation.js';
export * from './mac.js';
export * from './packet.js';
export { parseTopology, type ParsedTopology, type ParseOptions } from './parse/index.js';
export type { SourceDocument, TextPosition } from './parse/report.js';
export { SharedValues } from './parse/shared.js';
export { printTopology } from './print.js';
export * from './problem.js';
export * from './protocol.js';
export * from './topology.js';
export { isUuid } from './uuid.js';
export { HOST_NAME, HOST_REPORT, type HostReport } from './host-report.js';
export { stale, unreadable, type Source, type SourceEvent } from './source.js';
