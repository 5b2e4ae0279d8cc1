/** The oracle, and why a packet passes or does not. */
export {
  commonFamilies,
  EPHEMERAL_PORT,
  explain,
  firstAddress,
  reachability,
  renderExplanation,
  ruleInWords,
  type End,
  type Explanation,
  type Half,
  type Paint,
} from './explain.js';
export { groupsOf, judgeEgress, judgeIngress, macFor, type JudgeContext, type Judgement } from './judge.js';
