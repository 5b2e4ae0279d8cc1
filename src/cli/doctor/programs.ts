/** Node, and the nft program: is it there, of the right version, and does it do what it says? */
import type { NftFacts, ProgramResult } from '../../../agent/index.js';
import { isAtLeast, LEAST_NFT } from '../least-version.js';
import { failed, ok, type Finding } from './finding.js';

/** As package.json says. */
export const LEAST_NODE = [20, 19];

/** @param version `20.19.0` */
export function judgeNode(version: string): Finding {
  if (isAtLeast(version, LEAST_NODE)) return ok(`Node ${version}`);
  return failed(
    `Node ${version} is too old: ${LEAST_NODE.join('.')} or newer is needed`,
    'install a newer Node.js (package nodejs)',
  );
}

const UPDATE = 'apt-get install --only-upgrade nftables';
const REINSTALL = 'apt-get install --reinstall nftables, and look with `command -v nft` which program is meant';

/** How a crash is told from the rest. */
export interface NftQuestions {
  readonly crashOf: (result: ProgramResult) => string | undefined;
  readonly trialBegins: string;
  readonly trialTable: string;
}

/** An nft that hangs, prints anything, or says yes and does nothing is not believed. */
export function judgeNft({ version, nonsense, trial, culprit }: NftFacts, questions: NftQuestions): Finding {
  const [said, why] = trialSaid(trial, questions.trialBegins);
  for (const [what, result] of [
    ['--version', version],
    ['--check -f -', nonsense],
    ['-f -, in a network namespace of its own', said],
  ] as const) {
    const finding = result === undefined ? undefined : didNotEnd(what, result, culprit, questions);
    if (finding !== undefined) return finding;
  }
  const number = version.kind === 'ended' ? /^nftables v(\d+(?:\.\d+)*)/.exec(version.stdout)?.[1] : undefined;
  if (number === undefined) return failed('nft answers something to --version that no nft says', REINSTALL);
  if (!isAtLeast(number, LEAST_NFT)) {
    return failed(`nft ${number} is too old: ${LEAST_NFT.join('.')} or newer is needed`, UPDATE);
  }
  if (nonsense.kind === 'ended' && nonsense.code === 0) {
    return failed('nft says yes to what no kernel takes: it does not do what it is told', REINSTALL);
  }
  if (said === undefined) return ok(`nft ${number}; loading was not tried: ${why}`);
  if (said.kind !== 'ended' || said.code !== 0) {
    const reason = said.kind === 'ended' ? firstLine(said.stderr) : said.kind;
    return failed(`nft ${number} cannot load a table into an empty network namespace: ${reason}`, REINSTALL);
  }
  if (!said.stdout.includes(`table inet ${questions.trialTable} {`) || !said.stdout.includes('chain kept {')) {
    return failed('nft says that it loaded a table, and it is not there', REINSTALL);
  }
  return ok(`nft ${number}, and it does what it says`);
}

/** What nft did in a namespace of its own; where none could be made, why. */
function trialSaid(trial: ProgramResult, begins: string): readonly [ProgramResult | undefined, string] {
  if (trial.kind === 'not-started') return [undefined, `unshare: ${trial.code}`];
  if (trial.kind === 'ended' && !trial.stdout.startsWith(begins)) return [undefined, firstLine(trial.stderr)];
  return [trial, ''];
}

function didNotEnd(
  what: string,
  result: ProgramResult,
  culprit: string | undefined,
  { crashOf }: NftQuestions,
): Finding | undefined {
  const signal = crashOf(result);
  if (signal !== undefined) {
    return culprit === undefined
      ? failed(`nft ${what}: crashed (${signal})`, UPDATE)
      : failed(
          `nft crashes (${signal}): it cannot read ${culprit}, which is another program’s`,
          `${UPDATE}, or remove that set`,
        );
  }
  switch (result.kind) {
    case 'ended':
      return undefined;
    case 'late':
      return failed(`nft ${what} hangs: no answer in ${result.seconds.toString()} s`, REINSTALL);
    case 'killed':
      return failed(`nft ${what}: ended by ${result.signal}`, REINSTALL);
    case 'not-started':
      return result.code === 'ENOENT'
        ? failed('the nft program is missing', 'apt-get install nftables')
        : failed(`nft ${what} could not be started: ${result.code}`, REINSTALL);
  }
}

function firstLine(text: string): string {
  const [line = ''] = text.trim().split('\n');
  return line === '' ? 'no reason given' : line;
}
