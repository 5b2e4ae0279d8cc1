/**
 * Loads every second named topology, one after the other, into iptables, in the namespace that it runs in; prints, as JSON, which of them
 * did not end as what was wanted. Then takes everything away. Says on standard error where it is.
 */
import { besideIptables, DEFAULT_OPTIONS, iptablesProgram, type Datapath } from '../../../compiler/index.js';
import { isNoDifference, KERNEL, planLoad } from '../../../agent/index.js';
import { namedCompilation } from '../../support/golden.js';
import { NAMED_TOPOLOGIES } from '../../support/named-topologies.js';

const datapath = process.argv[2] as Datapath;
const wrong: unknown[] = [];
// Each by one program and on one datapath: what a rule is made of hangs on neither but in few of them.
const names = Object.keys(NAMED_TOPOLOGIES).filter((_name, index) => (index % 2 === 0) === (datapath === 'routed'));
// Each after another one, some after two, and the first from nothing.
const back = names.toReversed().filter((_name, index) => index % 4 === 3);
for (const name of [...names, ...back]) {
  process.stderr.write(`${name}\n`);
  const { policy } = namedCompilation(name, datapath);
  const options = { ...DEFAULT_OPTIONS, datapath };
  const wanted = { tables: besideIptables(policy, options), iptables: iptablesProgram(policy, options) };
  try {
    await (await planLoad(KERNEL, wanted)).apply();
    const difference = await planLoad(KERNEL, wanted);
    if (!isNoDifference(difference)) wrong.push({ name, difference });
  } catch (error) {
    wrong.push({ name, error: String(error) });
  }
}
await KERNEL.iptables.remove([]);
if ((await KERNEL.iptables.left()).size > 0) wrong.push('something was left');
process.stdout.write(JSON.stringify(wrong));
