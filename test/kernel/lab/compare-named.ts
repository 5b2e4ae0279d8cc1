import { DEFAULT_OPTIONS, type Datapath } from '../../../compiler/index.js';
import { NAMED_TOPOLOGIES } from '../../support/named-topologies.js';
import type { ToCompare } from './compare.js';

/** A named topology, for the program that compares it with what is loaded (compare.ts). */
export function namedToCompare(name: string, datapath: Datapath): ToCompare {
  const named = NAMED_TOPOLOGIES[name];
  return { document: named?.document, options: { ...DEFAULT_OPTIONS, ...named?.options, datapath } };
}
