import { liarsSuite } from './lab/liars-suite.js';
import { policySuite } from './lab/policy-suite.js';

policySuite('routed', { topologies: 12, frames: 240 });
liarsSuite('routed', 12);
