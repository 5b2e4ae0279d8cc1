/** What only bridges have, on Debian's stock kernel. */
import { describe } from 'vitest';
import { bridgeSuite, vlanSuite } from '../kernel/lab/bridge-suite.js';

// Each has a lab of its own.
describe('bridges', () => {
  bridgeSuite('bridge');
});
describe('VLAN-aware bridges', () => {
  vlanSuite('bridge');
});
