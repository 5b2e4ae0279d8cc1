/** The compiled text of the named topologies. */
import { compile, DEFAULT_OPTIONS, printRuleset, type Ruleset } from '../../compiler/index.js';
import { parseTopology } from '../../src/model/index.js';
import { NAMED_TOPOLOGIES } from './named-topologies.js';

export function namedRuleset(name: string): Ruleset {
  const named = NAMED_TOPOLOGIES[name];
  if (named === undefined) throw new Error(`no topology is named ${name}`);
  const { topology } = parseTopology([{ file: `${name}.yaml`, content: named.document }]);
  return compile(topology, () => true, { ...DEFAULT_OPTIONS, ...named.options }).ruleset;
}

/** The text of a golden file: what the topology is about, then its rules. */
export function goldenText(name: string): string {
  return `# ${name}: ${NAMED_TOPOLOGIES[name]?.about ?? ''}\n${printRuleset(namedRuleset(name))}`;
}
