/** The agent on Debian's stock kernel. */
import { bridgeAgentSuite } from '../kernel/lab/bridge-agent-suite.js';

// Software emulation is slow.
bridgeAgentSuite('bridge', 120_000);
