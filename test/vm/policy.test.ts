import { liarsSuite } from '../kernel/lab/liars-suite.js';
import { policySuite } from '../kernel/lab/policy-suite.js';

policySuite('bridge', { topologies: 8, frames: 120 });
liarsSuite('bridge', 4);
