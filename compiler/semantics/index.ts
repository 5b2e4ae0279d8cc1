/** What a packet's ends permit, read from the topology: what `explain` says, and what live flows are judged by. */
export { judgeEgress, judgeIngress, type Judgement, type ReasonKind } from './judge.js';
export { macFor } from './own-addresses.js';
export { groupsOf, members, ruleMismatches, type JudgeContext, type Mismatch } from './rules.js';
