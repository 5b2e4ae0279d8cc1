import { goldenSuite } from '../kernel/lab/golden-suite.js';
import { NAMED_TOPOLOGIES } from '../support/named-topologies.js';

// Emulation is slow: all of them are loaded and read back where the kernel runs for real; what is special here is the bridge family.
goldenSuite(
  'bridge',
  Object.keys(NAMED_TOPOLOGIES).filter((name, index) => index % 4 === 1 || name.includes('bridge')),
);
