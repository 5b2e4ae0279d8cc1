/** Bridges on a kernel that tracks connections by br_netfilter. */
import { goldenSuite } from './lab/golden-suite.js';
import { agentSuite } from './lab/agent-suite.js';
import { bridgeSuite } from './lab/bridge-suite.js';
import { flowsSuite } from './lab/flows-suite.js';
import { liarsSuite } from './lab/liars-suite.js';
import { policySuite } from './lab/policy-suite.js';
import { NAMED_TOPOLOGIES } from '../support/named-topologies.js';
import { describe } from 'vitest';

// Each has a lab of its own.
describe('named topologies', () => {
  goldenSuite('bridge-netfilter', Object.keys(NAMED_TOPOLOGIES));
});
describe('packets', () => {
  policySuite('bridge-netfilter', { topologies: 12, frames: 240 });
  liarsSuite('bridge-netfilter', 12);
});
describe('flows', () => {
  flowsSuite('bridge-netfilter');
});
describe('bridges', () => {
  bridgeSuite('bridge-netfilter');
});
describe('agent', () => {
  agentSuite('bridge-netfilter');
});
