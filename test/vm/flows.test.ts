import { flowsSuite } from '../kernel/lab/flows-suite.js';

flowsSuite('bridge');
