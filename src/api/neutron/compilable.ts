/**
 * Whatever the API takes, the compiler takes: an object is read by the compiler's own parser before it is stored
 * (CVE-2019-9735: a rule that the API took and the firewall refused froze whole hosts).
 */
import { parseTopology } from '../../../compiler/model/index.js';
import { badRequest } from '../errors.js';

/** @param document with the object and what it refers to. @throws ApiError (400) with the parser's own words */
export function checkCompilable(document: Readonly<Record<string, readonly unknown[]>>): void {
  const { problems } = parseTopology([{ file: '', content: document }]);
  const wrong = problems.find(({ severity }) => severity === 'error');
  if (wrong === undefined) return;
  const attribute = wrong.path.split('.').slice(1).join('.');
  throw badRequest(`Invalid input for ${attribute}. Reason: ${wrong.message}.`);
}
