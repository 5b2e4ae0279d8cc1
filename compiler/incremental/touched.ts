/** What of the policy changes may have touched, for whoever must look at live flows. */
import { isUnfiltered, type Port, type Prefix } from '../model/index.js';
import { sourcePrefixes } from '../host-policy.js';
import type { PortChange } from './known.js';

export interface Touched {
  /** Addresses and prefixes of ports and members whose permissions may differ now. */
  readonly prefixes: readonly Prefix[];
  /** Those among them that a port of this host had, and may have no more. */
  readonly gone: readonly Prefix[];
  /** Addresses of ports of this host that were not filtered before: none of their flows can be told to be admitted. */
  readonly filtered: readonly Prefix[];
  /** True when a port of this host came, changed or went, whether or not it took a step of the transaction. */
  readonly isLocal: boolean;
}

/** Gathers it. */
export class TouchedCollector {
  #prefixes: Prefix[] = [];
  #gone: Prefix[] = [];
  #filtered: Prefix[] = [];
  #isLocal = false;

  /** A port of this host came or went. */
  port({ kind, port }: PortChange): void {
    const prefixes = sourcePrefixes(port);
    this.#isLocal = true;
    this.#prefixes.push(...prefixes);
    if (kind === 'port-went') this.#gone.push(...prefixes);
  }

  /** What a port of this host was, and is. */
  portChanged(before: Port, after: Port | undefined): void {
    if (isUnfiltered(before) && after?.filtering === 'filtered') this.#filtered.push(...sourcePrefixes(after));
  }

  /** What ports of this host are permitted. */
  permissions(ports: Iterable<Port>): void {
    for (const port of ports) this.#prefixes.push(...sourcePrefixes(port));
  }

  member(prefix: Prefix): void {
    this.#prefixes.push(prefix);
  }

  take(): Touched {
    const touched = {
      prefixes: this.#prefixes,
      gone: this.#gone,
      filtered: this.#filtered,
      isLocal: this.#isLocal,
    };
    this.#prefixes = [];
    this.#gone = [];
    this.#filtered = [];
    this.#isLocal = false;
    return touched;
  }
}
