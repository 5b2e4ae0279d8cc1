import { goldenSuite } from '../kernel/lab/golden-suite.js';
import { NAMED_TOPOLOGIES } from '../support/named-topologies.js';

goldenSuite('bridge', Object.keys(NAMED_TOPOLOGIES));
