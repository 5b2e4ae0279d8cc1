/** What only bridges have, on Debian's stock kernel. */
import { bridgeSuite } from '../kernel/lab/bridge-suite.js';

bridgeSuite('bridge');
