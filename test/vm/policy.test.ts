import { liarsSuite } from '../kernel/lab/liars-suite.js';
import { policySuite } from '../kernel/lab/policy-suite.js';

policySuite('bridge', { topologies: 6, frames: 90 });
liarsSuite('bridge', 4);
