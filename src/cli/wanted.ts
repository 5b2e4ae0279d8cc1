/** What a command has the kernel hold. Apart from the options, which are read where nothing is compiled. */
import type { BackendName, Wanted } from '../../agent/index.js';
import { besideIptables, iptablesProgram, type Compiled } from '../../compiler/index.js';
import type { CompileOptions } from '../../compiler/options.js';

/** What the kernel is to hold. */
export function wantedBy(backend: BackendName, compiled: Compiled, options: CompileOptions): Wanted {
  switch (backend) {
    case 'nftables':
      return { tables: compiled.ruleset.tables, iptables: undefined };
    case 'iptables':
      return {
        tables: besideIptables(compiled.policy, options),
        iptables: iptablesProgram(compiled.policy, options),
      };
  }
}
