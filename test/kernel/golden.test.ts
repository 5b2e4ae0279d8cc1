import { NAMED_TOPOLOGIES } from '../support/named-topologies.js';
import { goldenSuite } from './lab/golden-suite.js';

goldenSuite(
  'routed',
  // What bridges need, this kernel may lack: test/vm has them.
  Object.keys(NAMED_TOPOLOGIES).filter((name) => NAMED_TOPOLOGIES[name]?.options?.datapath !== 'bridge'),
);
