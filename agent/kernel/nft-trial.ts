/** Is what answers to the name nft an nft? It is asked for what only the real one can do, and is given little time. */
import { crashOf, unreadableSet } from './crash.js';
import { runProgram, type ProgramResult } from './program.js';

/** Whoever asks waits for it; a loaded host answers within a second. */
const DEADLINE_MS = 5000;
/** In a network namespace of its own this is all there is. */
export const TRIAL_TABLE = 'portcullis_trial';
const TRIAL = `table inet ${TRIAL_TABLE} {\n\tchain kept {\n\t\tcounter accept\n\t}\n}\n`;
/** No kernel takes it: there is no such table. */
const NONSENSE = 'add rule inet portcullis_trial no_such_chain accept\n';
/** What stands before it says that the namespace was made, and that the rest is nft's. */
export const TRIAL_BEGINS = 'trial begins';

export interface NftFacts {
  readonly version: ProgramResult;
  /** Of a check of something that is to be refused. */
  readonly nonsense: ProgramResult;
  /** Of loading a table into an empty network namespace and listing what is there. */
  readonly trial: ProgramResult;
  /** What of somebody else's it dies of; undefined where it does not, or it is not known. */
  readonly culprit: string | undefined;
}

/** Changes nothing in this network namespace. */
export async function tryNft(): Promise<NftFacts> {
  const inNamespace = `echo ${TRIAL_BEGINS} && nft -f - && nft list ruleset`;
  const [version, nonsense, trial] = await Promise.all([
    runProgram('nft', ['--version'], { deadline: DEADLINE_MS }),
    runProgram('nft', ['--check', '-f', '-'], { deadline: DEADLINE_MS, input: NONSENSE }),
    runProgram('unshare', ['--net', 'sh', '-c', inNamespace], { deadline: DEADLINE_MS, input: TRIAL }),
  ]);
  return { version, nonsense, trial, culprit: crashOf(nonsense) === undefined ? undefined : await unreadableSet() };
}
