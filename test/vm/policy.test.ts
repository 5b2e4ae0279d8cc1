import { policySuite } from '../kernel/lab/policy-suite.js';

policySuite('bridge', { topologies: 8, frames: 120 });
