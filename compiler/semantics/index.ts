/** What a packet's ends permit, read from the topology: what `explain` says, and what live flows are judged by. */
export {
  groupsOf,
  judgeEgress,
  judgeIngress,
  macFor,
  members,
  ruleMismatches,
  type JudgeContext,
  type Judgement,
  type Mismatch,
  type ReasonKind,
} from './judge.js';
