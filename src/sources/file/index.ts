/** The file source: a topology from files. */
export { loadTopology } from './load.js';
export { bytesOf, readTopologyPath, type ReadResult } from './read.js';
export { FileSource } from './watch.js';
