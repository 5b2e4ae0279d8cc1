/**
 * What changes in a table, as data, and the steps in which it is done.
 *
 * A change is of one object, and a list of them is in no order that matters. Steps are what is sent, in the one order that the kernel takes:
 * sets and chains are there before what refers to them, and lose what refers to them before they go. Nobody else knows that order: whoever
 * prints or carries out steps does it as they come.
 */
import { parsePrefix, type Prefix } from '../model/index.js';
import { SETS } from './fixed-names.js';
import type { Chain, NamedSet, SetContent, SetRole } from './types.js';

/** An element of a set is its key, one of a map its key and what that leads to. */
export type Element = SetContent['elements'][number];

/** An element that was read back and that nobody wants: what is known of it is what the kernel's listing says, in its words. */
export interface ListedElement {
  readonly listed: string;
  /** '' in sets. */
  readonly data: string;
}

/** A set, whatever it holds. */
export type SetHead = Omit<NamedSet, 'content'>;

interface ElementsGoing {
  readonly kind: 'delete-elements';
  readonly set: SetHead;
  readonly elements: readonly (Element | ListedElement)[];
}

interface ElementsComing {
  readonly kind: 'add-elements';
  readonly set: SetHead;
  readonly elements: readonly Element[];
}

export type Change =
  /** Without elements, which come as a change of their own. */
  | { readonly kind: 'add-set'; readonly set: NamedSet }
  /** With its rules. */
  | { readonly kind: 'add-chain'; readonly chain: Chain }
  /** `before`: the comments of its rules. */
  | { readonly kind: 'rewrite-chain'; readonly chain: Chain; readonly before: readonly string[] }
  | ElementsGoing
  | ElementsComing
  | {
      readonly kind: 'delete-chain';
      readonly chain: string;
      readonly isBase: boolean;
      readonly before: readonly string[];
    }
  /** With its elements. */
  | {
      readonly kind: 'delete-set';
      readonly set: string;
      readonly role: SetRole;
      readonly setKind: 'set' | 'map';
      readonly size: number;
    };

export type Step =
  | { readonly kind: 'add-set'; readonly set: NamedSet }
  /** Without rules. */
  | { readonly kind: 'add-chain'; readonly chain: Chain }
  | { readonly kind: 'flush-chain'; readonly chain: string }
  | { readonly kind: 'add-rules'; readonly chain: Chain }
  | ElementsGoing
  | ElementsComing
  | { readonly kind: 'flush-map'; readonly map: string }
  | { readonly kind: 'delete-chain'; readonly chain: string }
  | { readonly kind: 'delete-set'; readonly set: string; readonly setKind: 'set' | 'map' };

/**
 * The order. Chains lose their rules before any gets new ones, and maps their elements, so that what goes is led to by nothing; a map that
 * goes leads to chains that go.
 */
const ORDER: readonly Step['kind'][] = [
  'add-set',
  'add-chain',
  'flush-chain',
  'add-rules',
  'delete-elements',
  'add-elements',
  'flush-map',
  'delete-chain',
  'delete-set',
];

/** The steps of changes to one table. */
export function stepsOf(changes: readonly Change[]): readonly Step[] {
  const steps = changes.flatMap(partsOf);
  return ORDER.flatMap((kind) => steps.filter((step) => step.kind === kind));
}

function partsOf(change: Change): readonly Step[] {
  switch (change.kind) {
    case 'add-set':
    case 'add-elements':
    case 'delete-elements':
      return [change];
    case 'add-chain':
      return [change, { kind: 'add-rules', chain: change.chain }];
    case 'rewrite-chain':
      return [
        { kind: 'flush-chain', chain: change.chain.name },
        { kind: 'add-rules', chain: change.chain },
      ];
    case 'delete-chain':
      return [
        { kind: 'flush-chain', chain: change.chain },
        { kind: 'delete-chain', chain: change.chain },
      ];
    case 'delete-set':
      return change.setKind === 'map' ? [{ kind: 'flush-map', map: change.set }, change] : [change];
  }
}

/** True when nothing goes, and all that comes is in sets of members or of a group: no permission goes. */
export function isGrowth(changes: readonly Change[]): boolean {
  return changes.every((change) => change.kind === 'add-elements' && change.set.role.kind !== 'fixed');
}

/** Sets of what ports may send from: the address is the last of a key. */
const SOURCES: ReadonlySet<string> = new Set([
  SETS.sources4,
  SETS.sourcePrefixes4,
  SETS.sources6,
  SETS.sourcePrefixes6,
]);

/** Of what is loaded, what a port may send from and would not any more. A port may have it by another MAC or device still. */
export function sourcesGone(changes: readonly Change[]): readonly Prefix[] {
  return changes.flatMap((change) => {
    if (change.kind !== 'delete-elements' || !SOURCES.has(change.set.name)) return [];
    return change.elements.flatMap((element) =>
      'listed' in element ? (parsePrefix(element.listed.split(' . ').at(-1) ?? '') ?? []) : [],
    );
  });
}
