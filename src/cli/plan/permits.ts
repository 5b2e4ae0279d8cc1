/** What the chain of a group permits, as lines: from its rules and the sets that they ask. */
import type { Condition } from '../../../compiler/listing.js';
import type { Field } from '../../../compiler/index.js';
import { protocolName, type Direction } from '../../../compiler/model/index.js';

/** One thing that is permitted. */
export interface Permit {
  readonly family: 'IPv4' | 'IPv6' | undefined;
  /** IANA number; undefined for any. */
  readonly protocol: number | undefined;
  /** `443`, `1-1000`, `type 8`, `type 3 code 4`; '' for all. */
  readonly ports: string;
  /** "anywhere", "10.0.0.0/8", "group web". */
  readonly remote: string;
  /** Of the rules that it may come from, as far as their comment has room; '' where it is not known. */
  readonly rules: string;
}

export interface Sets {
  /** Keys of a set, each as nft text of its fields. */
  readonly keys: (set: string) => readonly (readonly string[])[];
  /** Whose members a set holds; undefined for a set of a chain's own. */
  readonly members: (set: string) => string | undefined;
}

export const ANYWHERE = 'anywhere';

interface Draft {
  family?: 'IPv4' | 'IPv6';
  protocol?: number;
  ports?: string;
  type?: string;
  code?: string;
  remote?: string;
}

/**
 * @param conditions of one rule.
 * @param rules what its comment says.
 * @returns undefined where a condition is none that a group's rules have.
 */
export function permitsOf(conditions: readonly Condition[], sets: Sets, rules: string): readonly Permit[] | undefined {
  let drafts: readonly Draft[] = [{}];
  for (const { fields, keys } of conditions) {
    if ('set' in keys) {
      const remote = sets.members(keys.set);
      drafts =
        remote === undefined
          ? drafts.flatMap((draft) => sets.keys(keys.set).map((key) => narrowed(draft, fields, key)))
          : drafts.map((draft) => ({ ...draft, family: familyOf(fields), remote }));
    } else drafts = drafts.flatMap((draft) => keys.map((key) => narrowed(draft, fields, key)));
  }
  const isKnown = conditions.every(({ fields }) => fields.every((field) => KNOWN.has(field)));
  return isKnown ? drafts.map((draft) => permitOf(draft, rules)) : undefined;
}

const KNOWN: ReadonlySet<Field> = new Set([
  ...(['meta protocol', 'meta l4proto', 'th dport'] as const),
  ...(['ip saddr', 'ip daddr', 'ip6 saddr', 'ip6 daddr'] as const),
  ...(['icmp type', 'icmp code', 'icmpv6 type', 'icmpv6 code'] as const),
]);

function familyOf(fields: readonly Field[]): 'IPv4' | 'IPv6' {
  return fields.some((field) => field.startsWith('ip6 ')) ? 'IPv6' : 'IPv4';
}

function narrowed(before: Draft, fields: readonly Field[], key: readonly string[]): Draft {
  const draft = { ...before };
  for (const [index, field] of fields.entries()) {
    const text = key[index] ?? '';
    switch (field) {
      case 'meta protocol':
        draft.family = text === 'ip6' ? 'IPv6' : 'IPv4';
        break;
      case 'meta l4proto':
        draft.protocol = Number(text);
        break;
      case 'th dport':
        draft.ports = text;
        break;
      case 'icmp type':
      case 'icmpv6 type':
        Object.assign(
          draft,
          field === 'icmp type' ? { family: 'IPv4', protocol: 1 } : { family: 'IPv6', protocol: 58 },
        );
        draft.type = text;
        break;
      case 'icmp code':
      case 'icmpv6 code':
        draft.code = text;
        break;
      default:
        draft.family = familyOf([field]);
        draft.remote = text;
    }
  }
  return draft;
}

function permitOf({ family, protocol, ports, type, code, remote = ANYWHERE }: Draft, rules: string): Permit {
  const icmp = type === undefined ? '' : `type ${type}${code === undefined ? '' : ` code ${code}`}`;
  return { family, protocol, ports: ports ?? icmp, remote, rules };
}

export interface PermitChange {
  readonly sign: '+' | '-' | '~';
  readonly text: string;
}

/** What comes and what goes; where one thing became another of its kind, in one line. */
export function permitChanges(
  before: readonly Permit[],
  after: readonly Permit[],
  direction: Direction,
): readonly PermitChange[] {
  const gone = inOrder(without(before, after, direction), direction);
  const come = inOrder(without(after, before, direction), direction);
  const changes: PermitChange[] = [];
  const paired = new Set<Permit>();
  for (const permit of gone) {
    const isAlike = (other: Permit): boolean => kindOf(other) === kindOf(permit);
    const [successor, ...others] = come.filter(isAlike);
    if (successor === undefined || others.length > 0 || gone.filter(isAlike).length > 1) continue;
    if (permit.ports === '' || successor.ports === '') continue;
    paired.add(permit).add(successor);
    const text = textOf({ ...successor, ports: `${permit.ports} → ${successor.ports}` }, direction);
    changes.push({ sign: '~', text: `${successor.rules}${text}` });
  }
  const alone = (permit: Permit): boolean => !paired.has(permit);
  return [
    ...changes,
    ...gone
      .filter(alone)
      .map((permit) => ({ sign: '-', text: `${permit.rules}${textOf(permit, direction)}` }) as const),
    ...come
      .filter(alone)
      .map((permit) => ({ sign: '+', text: `${permit.rules}${textOf(permit, direction)}` }) as const),
  ];
}

/** What the one permits and the other does not. Rules are merged where their ports are neighbours: of a range, a part may be new. */
function without(these: readonly Permit[], others: readonly Permit[], direction: Direction): readonly Permit[] {
  const known = new Set(others.map((permit) => textOf(permit, direction)));
  return these
    .filter((permit) => !known.has(textOf(permit, direction)))
    .flatMap((permit) => {
      const range = rangeOf(permit);
      if (range === undefined) return [permit];
      const taken = others.filter((other) => kindOf(other) === kindOf(permit)).flatMap((other) => rangeOf(other) ?? []);
      return taken
        .reduce((left, other) => left.flatMap((part) => lessOf(part, other)), [range])
        .map((part) => ({
          ...permit,
          ports: part.first === part.last ? part.first.toString() : `${part.first.toString()}-${part.last.toString()}`,
        }));
    });
}

/** One of each, in an order that does not hang on how a packet filter lists them. */
function inOrder(permits: readonly Permit[], direction: Direction): readonly Permit[] {
  const distinct = [...new Map(permits.map((permit) => [textOf(permit, direction), permit])).values()];
  const key = (permit: Permit): readonly (string | number)[] => {
    const { remote, family = '', protocol = -1, ports } = permit;
    return [remote === ANYWHERE ? '' : remote, family, protocol, rangeOf(permit)?.first ?? -1, ports];
  };
  return distinct.sort((one, other) => {
    const [left, right] = [key(one), key(other)];
    const at = left.findIndex((part, index) => part !== right[index]);
    return (left[at] ?? '') < (right[at] ?? '') ? -1 : 1;
  });
}

interface Range {
  readonly first: number;
  readonly last: number;
}

/** Undefined for what has no ports. */
function rangeOf({ ports }: Permit): Range | undefined {
  const [, first, last = first] = /^(\d+)(?:-(\d+))?$/.exec(ports) ?? [];
  return first === undefined ? undefined : { first: Number(first), last: Number(last) };
}

function lessOf({ first, last }: Range, other: Range): readonly Range[] {
  if (other.last < first || other.first > last) return [{ first, last }];
  return [
    ...(first < other.first ? [{ first, last: other.first - 1 }] : []),
    ...(last > other.last ? [{ first: other.last + 1, last }] : []),
  ];
}

/** Permits that differ in their ports alone. */
function kindOf({ family, protocol, remote }: Permit): string {
  return [family, protocol, remote].join();
}

/** `tcp 443 from anywhere (IPv4)` */
export function textOf({ family, protocol, ports, remote }: Permit, direction: Direction): string {
  const what = protocol === undefined ? 'anything' : `${protocolName(protocol)}${ports === '' ? '' : ` ${ports}`}`;
  const isPlain = family === undefined || /^[0-9a-f.:/]+$/.test(remote);
  return `${what} ${direction === 'ingress' ? 'from' : 'to'} ${remote}${isPlain ? '' : ` (${family})`}`;
}
