/**
 * Reads what the kernel holds: the output of `nft --json --numeric --stateless list table FAMILY NAME`
 * (libnftables-json(5)).
 *
 * Only what {@link TableState} compares is read. Known differences between nft versions end here: nft 1.0.6 prints
 * ethertypes in the wrong byte order.
 */
import { z } from 'zod';
import { makePrefix, parseAddress, parsePrefix } from '../model/index.js';
import { ETHERTYPE, ETHERTYPE_ARP } from '../ruleset/ethertype.js';
import type { TableFamily } from '../ruleset/types.js';
import {
  hookSignature,
  setSignature,
  tallySignature,
  type ChainState,
  type SetState,
  type TableState,
} from './state.js';

const setSchema = z.looseObject({
  name: z.string(),
  type: z.union([z.string(), z.array(z.string())]),
  map: z.union([z.string(), z.array(z.string())]).optional(),
  flags: z.union([z.string(), z.array(z.string())]).optional(),
  size: z.number().optional(),
  timeout: z.number().optional(),
  'gc-interval': z.number().optional(),
  policy: z.string().optional(),
  stmt: z.unknown().optional(),
  elem: z.array(z.unknown()).optional(),
});

const chainSchema = z.looseObject({
  name: z.string(),
  type: z.string().optional(),
  hook: z.string().optional(),
  prio: z.number().optional(),
  policy: z.string().optional(),
});

const ruleSchema = z.looseObject({ chain: z.string(), comment: z.string().optional() });

const listingSchema = z.object({
  nftables: z.array(
    z.looseObject({
      set: setSchema.optional(),
      map: setSchema.optional(),
      chain: chainSchema.optional(),
      rule: ruleSchema.optional(),
    }),
  ),
});

/** What a table of ours is made of; anything else in a listing of it is somebody's. */
const OWN_KINDS = new Set(['metainfo', 'table', 'set', 'map', 'chain', 'rule', 'element']);

/**
 * @param listing the parsed JSON.
 * @throws Error when the listing has not the documented form.
 */
export function readListing(family: TableFamily, name: string, listing: unknown): TableState {
  const sets = new Map<string, SetState>();
  const hooks = new Map<string, string>();
  const comments = new Map<string, string[]>();
  const foreign = new Set<string>();
  for (const object of listingSchema.parse(listing).nftables) {
    for (const kind of Object.keys(object)) if (!OWN_KINDS.has(kind)) foreign.add(kind);
    if (object.set !== undefined) sets.set(object.set.name, readSet('set', object.set));
    if (object.map !== undefined) sets.set(object.map.name, readSet('map', object.map));
    if (object.chain !== undefined) {
      const { hook, prio, type, policy } = object.chain;
      hooks.set(object.chain.name, hook === undefined ? '' : hookSignature(hook, prio ?? 0, type, policy));
      comments.set(object.chain.name, []);
    }
    if (object.rule !== undefined) comments.get(object.rule.chain)?.push(object.rule.comment ?? '');
  }
  const chains = new Map<string, ChainState>(
    [...hooks].map(([chain, hook]) => [chain, { hook, comments: comments.get(chain) ?? [] }]),
  );
  return { family, name, oddities: [...foreign].sort().join(' '), sets, chains };
}

function readSet(kind: 'set' | 'map', set: z.infer<typeof setSchema>): SetState {
  const types = asList(set.type);
  const flags = asList(set.flags ?? []);
  const data = asList(set.map ?? '').join('.');
  const signature = setSignature(kind, types, data, flags.includes('interval'));
  const strange = flags.filter((flag) => flag !== 'interval');
  for (const attribute of ['gc-interval', 'policy', 'stmt'] as const) {
    if (set[attribute] !== undefined) strange.push(`${attribute} ${JSON.stringify(set[attribute])}`);
  }
  if (flags.includes('timeout')) {
    const others = strange.filter((what) => what !== 'timeout' && what !== 'dynamic');
    const tally = tallySignature(signature, { keys: set.size ?? 0, seconds: set.timeout ?? 0 });
    return { kind, signature: [tally, ...others].join(' '), elements: new Map() };
  }
  if (set.size !== undefined) strange.push(`size ${set.size.toString()}`);
  const elements = new Map<string, string>();
  for (const element of set.elem ?? []) {
    const read = kind === 'set' ? readSetElement(types, element) : readMapElement(types, element);
    if (read === undefined) return { kind, signature: `${signature} with foreign elements`, elements: new Map() };
    elements.set(read.key, read.data);
  }
  return { kind, signature: [signature, ...strange].join(' '), elements };
}

function asList(value: string | readonly string[]): readonly string[] {
  return typeof value === 'string' ? [value] : value;
}

interface ElementText {
  readonly key: string;
  readonly data: string;
}

function readSetElement(types: readonly string[], element: unknown): ElementText | undefined {
  const key = readKey(types, element);
  return key === undefined ? undefined : { key, data: '' };
}

function readMapElement(types: readonly string[], element: unknown): ElementText | undefined {
  if (!Array.isArray(element) || element.length !== 2) return undefined;
  const key = readKey(types, element[0]);
  const data = readData(element[1]);
  return key === undefined || data === undefined ? undefined : { key, data };
}

function readData(data: unknown): string | undefined {
  if (typeof data === 'number') return data.toString();
  if (!isRecord(data)) return undefined;
  const [kind] = Object.keys(data);
  switch (kind) {
    case 'accept':
    case 'drop':
    case 'return':
      return kind;
    case 'jump':
    case 'goto': {
      const target = data[kind];
      return isRecord(target) && typeof target['target'] === 'string' ? `${kind} ${target['target']}` : undefined;
    }
    default:
      return undefined;
  }
}

function readKey(types: readonly string[], key: unknown): string | undefined {
  const components = isRecord(key) && Array.isArray(key['concat']) ? (key['concat'] as readonly unknown[]) : [key];
  if (components.length !== types.length) return undefined;
  const texts: string[] = [];
  for (const [index, component] of components.entries()) {
    const text = readComponent(types[index], component);
    if (text === undefined) return undefined;
    texts.push(text);
  }
  return texts.join(' . ');
}

/** A value of a field of that type as nft text; undefined where it has another form. */
export function readComponent(type: string | undefined, component: unknown): string | undefined {
  if (isRecord(component)) {
    const { prefix, range } = component;
    if (isRecord(prefix)) return readPrefix(prefix);
    if (!Array.isArray(range) || range.length !== 2) return undefined;
    const [first, last] = [readComponent(type, range[0]), readComponent(type, range[1])];
    return first === undefined || last === undefined ? undefined : `${first}-${last}`;
  }
  switch (type) {
    case 'ifname':
      return typeof component === 'string' && /^[^"\\\s]+$/.test(component) ? `"${component}"` : undefined;
    case 'ether_type':
      return readEtherType(component);
    case 'ipv4_addr':
    case 'ipv6_addr':
      return typeof component === 'string' ? parseAddress(component)?.text : undefined;
    default:
      return readPlain(component);
  }
}

function readPrefix(prefix: Readonly<Record<string, unknown>>): string | undefined {
  const { addr, len } = prefix;
  if (typeof addr !== 'string' || typeof len !== 'number') return undefined;
  const address = parsePrefix(addr);
  return address === undefined ? undefined : makePrefix(address.family, address.network, len).text;
}

/** Numbers, MACs and the 128-bit integers of raw payload, which nft prints as hexadecimal. */
function readPlain(component: unknown): string | undefined {
  if (typeof component === 'number') return component.toString();
  if (typeof component !== 'string') return undefined;
  const raw = /^0x([0-9a-f]+)$/.exec(component)?.[1];
  if (raw !== undefined) return `0x${raw.padStart(32, '0')}`;
  return /^[0-9a-z:.-]+$/.test(component) ? component : undefined;
}

/** Names, and numbers in both byte orders: no two of these ethertypes are each other's mirror image. */
const ETHERTYPE_TEXT: ReadonlyMap<unknown, string> = new Map(
  [
    { name: 'ip', number: ETHERTYPE.IPv4 },
    { name: 'ip6', number: ETHERTYPE.IPv6 },
    { name: 'arp', number: ETHERTYPE_ARP },
  ].flatMap(({ name, number }): [unknown, string][] => [
    [name, name],
    [number, name],
    [((number & 0xff) << 8) | (number >> 8), name],
    [`0x${number.toString(16).padStart(4, '0')}`, name],
  ]),
);

function readEtherType(component: unknown): string | undefined {
  return ETHERTYPE_TEXT.get(component);
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
