/** The agent on Debian's stock kernel: what has rules of its own there. */
import { lifeSuite } from '../kernel/lab/agent-suite.js';

lifeSuite('bridge');
