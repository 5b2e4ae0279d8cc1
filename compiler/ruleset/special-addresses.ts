/** Addresses that mean no station of their own. */
import { parsePrefix, type Prefix } from '../model/index.js';

export const UNSPECIFIED4 = constant('0.0.0.0');
export const BROADCAST4 = constant('255.255.255.255');
export const UNSPECIFIED6 = constant('::');
export const LINK_LOCAL6 = constant('fe80::/10');
export const LINK_MULTICAST6 = constant('ff02::/16');

function constant(text: string): Prefix {
  const prefix = parsePrefix(text);
  if (prefix === undefined) throw new Error(`not a prefix: ${text}`);
  return prefix;
}
