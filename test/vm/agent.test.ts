/** The agent on Debian's stock kernel. */
import { agentSuite } from '../kernel/lab/agent-suite.js';

// Software emulation is slow.
agentSuite('bridge', 'nftables', 120_000);
