import { policySuite } from './lab/policy-suite.js';

policySuite('routed', { topologies: 12, frames: 240 });
