/** The agent on Debian's stock kernel. */
import { agentSuite } from '../kernel/lab/agent-suite.js';

agentSuite('bridge');
