/**
 * Audit: the same rules, but what would be dropped passes, and is counted: for introducing enforcement on a host that runs. The counters of
 * the rules that would drop say how much would be lost, sets that packets fill who would lose it, and on the way to whom.
 *
 * Nothing that audit counts has the name of something that enforcement counts, so that a change from one to the other begins at zero.
 */
import { FAMILIES, PORT_PROTOCOLS, type Direction, type Family } from '../model/index.js';
import { ACCEPT, chain, counted, filledSet, goTo, is, isNot, jump, rule, tallySetName } from './build.js';
import { ETHERTYPE } from './ethertype.js';
import { CHAINS } from './fixed-names.js';
import type { Action, Chain, Field, Match, NamedSet, Room, Rule, Ruleset, Table, Verdict } from './types.js';

/** Where maps lead that would drop: a map's element counts nothing. */
export const AUDIT_PASSED = 'audit_passed';
const PASSED: Chain = chain(AUDIT_PASSED, 'what a map would drop', [counted([], ACCEPT, 'would be dropped')]);

/**
 * Of each place where packets would be dropped, so many flows: somebody who tries every port, or every address, costs no more memory and
 * nobody's journal, and what does not fit is still counted by rule and by device. Both are forgotten after an hour without a packet.
 */
const FLOWS: Room = { keys: 4096, seconds: 3600 };

/** The sets that {@link tallySetName} names, while nothing is enforced. */
const TALLIES: Readonly<Record<Direction, string>> = { egress: 'audited_from_port', ingress: 'audited_to_port' };

/** Name of the set that counts, by device, what would be dropped. */
export function auditTallySetName(direction: Direction): string {
  return TALLIES[direction];
}

/** A place where packets would be dropped: a chain, or all profiles' chains of one direction, which share their sets. */
interface Place {
  readonly name: string;
  readonly direction: Direction;
}

const PROFILES: Readonly<Record<Direction, Place>> = {
  egress: { name: 'profile_out', direction: 'egress' },
  ingress: { name: 'profile_in', direction: 'ingress' },
};

/** Name of the place that stands for all profiles' chains of a direction. */
export function placeOfProfiles(direction: Direction): string {
  return PROFILES[direction].name;
}

/** Chains of frames that have no IP address. */
const NOT_IP: ReadonlySet<string> = new Set([CHAINS.arpGuard, 'egress_link', 'ingress_link']);

export function audited(ruleset: Ruleset): Ruleset {
  return { ...ruleset, tables: ruleset.tables.map(auditedTable) };
}

function auditedTable(table: Table): Table {
  const isIp = table.family !== 'arp';
  const places = isIp ? placesIn(table) : [];
  return {
    ...table,
    sets: new Map(
      [...[...table.sets.values()].map(auditedSet), ...places.flatMap(flowSets)].map((set) => [set.name, set]),
    ),
    chains: new Map(
      [
        PASSED,
        ...places.map(recorder),
        ...[...table.chains.values()].map((one) => (isIp ? auditedChain(one) : withoutFlows(one))),
      ].map((one) => [one.name, one]),
    ),
  };
}

/** Whatever the topology is: profiles come and go. */
function placesIn({ chains }: Table): readonly Place[] {
  const found = [...chains.values()].flatMap((one) => placeOf(one) ?? []);
  const all = chains.has(CHAINS.egressStateful) ? [...Object.values(PROFILES), ...found] : found;
  return [...new Map(all.map((place) => [place.name, place])).values()];
}

function placeOf({ name, role, rules }: Chain): Place | undefined {
  const tally = rules.flatMap(({ action }) => (action.kind === 'tally' ? action.set : []))[0];
  if (tally === undefined || NOT_IP.has(name)) return undefined;
  if (role.kind === 'profile') return PROFILES[role.direction];
  return { name, direction: tally === tallySetName('egress') ? 'egress' : 'ingress' };
}

/** As {@link audited}, for one chain of a table that sees IP. */
export function auditedChain(one: Chain): Chain {
  const place = placeOf(one);
  return { ...one, rules: one.rules.flatMap((each) => auditedRule(each, place)) };
}

function withoutFlows(one: Chain): Chain {
  return { ...one, rules: one.rules.flatMap((each) => auditedRule(each, undefined)) };
}

/** As {@link audited}, for the verdict of a map's element. */
export function auditedElement(verdict: Verdict): Verdict {
  return verdict.kind === 'drop' ? goTo(PASSED.name) : verdict;
}

function auditedSet(set: NamedSet): NamedSet {
  const { content } = set;
  if (content.data === 'tally') return { ...set, name: auditedTally(set.name) };
  if (content.data !== 'verdict') return set;
  const elements = content.elements.map(({ key, data }) => ({ key, data: auditedElement(data) }));
  return { ...set, content: { data: 'verdict', elements } };
}

function auditedTally(name: string): string {
  return TALLIES[name === tallySetName('egress') ? 'egress' : 'ingress'];
}

function auditedRule(each: Rule, place: Place | undefined): readonly Rule[] {
  const action = auditedAction(each.action);
  if (action === each.action) return [each];
  const after = { ...each, action, comment: `${AUDIT}${each.comment}` };
  if (action.kind !== 'tally' || place === undefined) return [after];
  return [after, rule(each.matches, jump(recorderName(place.name)), 'whose flow it is')];
}

/** The label of a rule that would drop begins so. */
export const AUDIT = 'audit: ';

function auditedAction(action: Action): Action {
  switch (action.kind) {
    case 'verdict':
      return action.verdict.kind === 'drop' ? { kind: 'verdict', verdict: ACCEPT } : action;
    case 'inline-verdict-map':
      return {
        ...action,
        elements: action.elements.map(({ key, data }) => ({ key, data: auditedElement(data) })),
      };
    case 'tally':
      return { ...action, set: auditedTally(action.set) };
    case 'verdict-map':
    case 'zone':
    case 'ct-mark':
    case 'packet-mark':
      return action;
  }
}

// Flows

function recorderName(place: string): string {
  return `audit_${place}`;
}

function flowSetName(place: string, family: Family): string {
  return `audit_${place}_${family === 'IPv4' ? '4' : '6'}`;
}

/** Keys of a set of flows: device of the port, source, destination, protocol, and what the protocol has for a port: 16 bits, type and code of ICMP. */
function flowFields({ direction }: Place, family: Family, what: 'th dport' | 'th sport'): readonly Field[] {
  const device = direction === 'egress' ? 'iifname' : 'oifname';
  const addresses: readonly Field[] = family === 'IPv4' ? ['ip saddr', 'ip daddr'] : ['ip6 saddr', 'ip6 daddr'];
  return [device, ...addresses, 'meta l4proto', what];
}

function flowSets(place: Place): readonly NamedSet[] {
  return FAMILIES.map((family) =>
    filledSet(flowSetName(place.name, family), flowFields(place, family, 'th dport'), FLOWS),
  );
}

function recorder(place: Place): Chain {
  const record = (family: Family, matches: readonly Match[], what: 'th dport' | 'th sport', comment: string): Rule => ({
    matches: [is('meta protocol', ETHERTYPE[family]), ...matches],
    action: { kind: 'tally', fields: flowFields(place, family, what), set: flowSetName(place.name, family) },
    counter: false,
    comment,
  });
  return chain(
    recorderName(place.name),
    `flows that would be dropped in ${place.name}`,
    FAMILIES.flatMap((family) => [
      record(family, [is('meta l4proto', ...PORT_PROTOCOLS)], 'th dport', 'to a port'),
      record(family, [isNot('meta l4proto', ...PORT_PROTOCOLS)], 'th sport', 'to no port: type and code of ICMP'),
    ]),
  );
}
