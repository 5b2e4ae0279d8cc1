/** The compiled text of the named topologies. */
import {
  compile,
  DEFAULT_OPTIONS,
  printRuleset,
  type Compiled,
  type CompileOptions,
  type Datapath,
  type Ruleset,
} from '../../compiler/index.js';
import { parseTopology } from '../../compiler/model/index.js';
import { NAMED_TOPOLOGIES } from './named-topologies.js';

/** @param datapath another one than the topology's own. */
export function namedRuleset(name: string, datapath?: Datapath): Ruleset {
  return namedCompilation(name, datapath).ruleset;
}

/** As {@link namedRuleset}, with what it was made of. */
export function namedCompilation(name: string, datapath?: Datapath): Compiled & { readonly options: CompileOptions } {
  const named = NAMED_TOPOLOGIES[name];
  if (named === undefined) throw new Error(`no topology is named ${name}`);
  const { topology } = parseTopology([{ file: `${name}.yaml`, content: named.document }]);
  const options = { ...DEFAULT_OPTIONS, ...named.options, ...(datapath === undefined ? {} : { datapath }) };
  return { ...compile(topology, () => true, options), options };
}

/** The whole text: what the topology is about, then its rules. */
export function goldenText(name: string, datapath?: Datapath): string {
  return `# ${name}: ${NAMED_TOPOLOGIES[name]?.about ?? ''}\n${printRuleset(namedRuleset(name, datapath))}`;
}

/** The rules of no port at all, which every other ruleset of the datapath has too. */
export function fixedText(datapath: Datapath): string {
  return `# ${datapath}: what is there without any port\n${printRuleset(namedRuleset('empty', datapath))}`;
}
