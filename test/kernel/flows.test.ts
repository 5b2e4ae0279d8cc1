import { flowsSuite } from './lab/flows-suite.js';

flowsSuite('routed');
