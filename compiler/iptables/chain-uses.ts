/** What rules of ours that are loaded are for, by the names of their chains: rules of iptables have no comments. */
import { DIRECTIONS, type Direction } from '../model/index.js';
import { readChainName } from '../ruleset/read-names.js';
import { isOfTree, readDeviceRule } from './dispatch.js';
import { ENTRIES, OTHERS_OUT, UNFILTERED_OUT } from './entries.js';
import { isOfInvalid, LINK_LOCAL_ONLY, SERVICE, STATE } from './fixed.js';
import { ADMIT_CHAIN, chainName, nameWithin } from './names.js';
import { SPOOFED } from './port.js';
import type { IptablesRule } from './rule.js';

/** Chains for what comes to ports, beside those of groups, of profiles and of the tree. */
const TO_PORTS: ReadonlySet<string> = new Set([
  ADMIT_CHAIN.ingress,
  chainName(ENTRIES.ingress.entry),
  LINK_LOCAL_ONLY,
  SERVICE.ingress,
  STATE.ingress,
]);

/** Whose packets a chain judges: what comes to ports ends in chains for it, everything else is from them. */
export function directionOfChain(chain: string): Direction {
  const named = readChainName(nameWithin(chain));
  if (named !== undefined) return named.direction;
  return TO_PORTS.has(chain) || isOfTree(ENTRIES.ingress.tree, chain) ? 'ingress' : 'egress';
}

/** Why all that a chain drops ends there. */
const REASONS: ReadonlyMap<string, string> = new Map([
  [SPOOFED, 'spoofed source'],
  [LINK_LOCAL_ONLY, 'the port has no address of this family'],
  [SERVICE.egress, 'acts as DHCP server or router'],
  [UNFILTERED_OUT, 'address of a port from another device'],
  [OTHERS_OUT, 'address of a port from another device'],
]);

/** Why a packet ends at a rule that drops; undefined where the rule says it itself. */
export function reasonOfDrop(chain: string, rule: IptablesRule): string | undefined {
  if (readChainName(nameWithin(chain))?.kind === 'profile') return 'no rule allows it';
  for (const direction of DIRECTIONS) {
    if (chain === STATE[direction])
      return isOfInvalid(rule) ? 'invalid to connection tracking' : 'flow whose permission was revoked';
    if (chain === chainName(ENTRIES[direction].entry))
      return readDeviceRule(rule)?.device.endsWith('+') === true ? 'device of no known port' : undefined;
  }
  return REASONS.get(chain);
}
