/** The oracle, and why a packet, or each of many, passes or does not. */
export { onlyEnd, type Ends } from './ends.js';
export {
  commonFamilies,
  EPHEMERAL_PORT,
  explain,
  firstAddress,
  reachability,
  type End,
  type Explanation,
  type Half,
} from './explain.js';
export { union, type Ranges } from './partition.js';
export { rangeTexts, renderExplanation, renderSet, serviceTexts, type Asked, type Paint } from './render.js';
export { between, type ServiceSet } from './services.js';
export { explainSet, TooManyCases, type PacketSet, type SetExplanation } from './sets.js';
export { ruleInWords } from './texts.js';
