/** Signs that something changed in a Neutron. They say where to look: what is enforced is what its API then answers. */

export type Hint =
  | {
      readonly kind: 'port';
      readonly id: string;
      /** Undefined where it is not said, and for one that is gone. */
      readonly revision: number | undefined;
      /** That have a binding of it, and its groups, where that is said. */
      readonly hosts: readonly string[];
      readonly groups: readonly string[];
    }
  | { readonly kind: 'group'; readonly id: string; readonly revision: number | undefined }
  | {
      readonly kind: 'rule';
      readonly id: string;
      /** Whose it is; undefined where it is not said. */
      readonly group: string | undefined;
    }
  | { readonly kind: 'address group'; readonly id: string };

/** Ids of what is to be read again. */
export interface Dirty {
  readonly ports: Set<string>;
  readonly groups: Set<string>;
  readonly addressGroups: Set<string>;
}

export function nothingDirty(): Dirty {
  return { ports: new Set(), groups: new Set(), addressGroups: new Set() };
}

export function isClean({ ports, groups, addressGroups }: Dirty): boolean {
  return ports.size + groups.size + addressGroups.size === 0;
}

/** Somebody who gives hints for as long as he can. */
export interface HintGiver {
  start(listener: HintListener): void;
  stop(): void;
}

export interface HintListener {
  hint(hints: readonly Hint[]): void;
  /** From now on nothing is missed. */
  up(): void;
  /** Why nothing is heard now. */
  down(reason: string): void;
}
