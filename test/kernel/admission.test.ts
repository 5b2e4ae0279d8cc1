import { describe } from 'vitest';
import { admissionSuite } from './lab/admission-suite.js';

// Each has a lab of its own.
describe.each(['nftables', 'iptables-nft', 'iptables-legacy'] as const)('%s', (backend) => {
  describe.each(['routed', 'bridge-netfilter'] as const)('%s', (datapath) => {
    admissionSuite(datapath, backend);
  });
});
