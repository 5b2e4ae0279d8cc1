/**
 * Ports of this host -> elements: where their devices lead to, and their own addresses. A port is always handled: it costs its
 * elements. A group that became stateful or stateless has the fast path's elements of its ports computed anew.
 */
import { DIRECTIONS, type Port } from '../model/index.js';
import { isBridged, type Datapath } from '../datapath.js';
import { goTo } from '../ruleset/build.js';
import { ownKeys, ownSets, type OwnKeys, type OwnSet } from '../ruleset/own-sets.js';
import { portMapName, portVerdict, unfilteredVerdict } from '../ruleset/port-maps.js';
import { isStateful, profileChainName, profileName } from '../ruleset/profiles.js';
import { CHAINS, SETS } from '../ruleset/fixed-names.js';
import { elementKeyText } from '../nftables/text.js';
import type { Element } from '../ruleset/change.js';
import { HANDLED, type Calculator } from './calculator.js';
import type { GroupChange, Known, PortChange } from './known.js';
import type { HostTables } from './tables.js';
import type { WantedTable } from './wanted-table.js';

type Visit = (table: WantedTable, set: string, element: Element) => void;

/** Keys: ids of ports. */
export class PortElements implements Calculator<PortChange | GroupChange, string, never> {
  readonly #ownSets: readonly OwnSet[];
  /** What filtered ports have added to the sets of own addresses, by id. */
  readonly #own = new Map<string, OwnKeys>();
  /** How many ports give an address that is nobody else's. */
  readonly #addressUses = new Map<string, number>();

  constructor(
    private readonly known: Known,
    private readonly tables: HostTables,
    private readonly datapath: Datapath,
  ) {
    this.#ownSets = ownSets(datapath);
  }

  /** @param change of a port of this host, or of any group. */
  change(change: PortChange | GroupChange): readonly string[] {
    switch (change.kind) {
      case 'port-came':
        this.#elements(change.port, (table, set, element) => {
          if (this.#count(set, element, 1) === 1) table.addElement(set, element);
        });
        return HANDLED;
      case 'port-went':
        this.#elements(change.port, (table, set, element) => {
          if (this.#count(set, element, -1) === 0) table.deleteElement(set, element);
        });
        this.#own.delete(change.port.id);
        return HANDLED;
      case 'group':
        return [...this.known.filteredHere(change.id)]
          .filter((port) => isStateful(port, this.known.securityGroups) !== this.#own.get(port.id)?.isStateful)
          .map(({ id }) => id);
    }
  }

  recompute(ids: ReadonlySet<string>): readonly never[] {
    for (const id of ids) {
      const [port, before] = [this.known.local.get(id), this.#own.get(id)];
      if (port === undefined || before === undefined) continue;
      const after = ownKeys(port, isStateful(port, this.known.securityGroups));
      this.#own.set(id, after);
      for (const set of this.#ownSets) {
        const [old, wanted] = [set.keys(before), set.keys(after)];
        if (old.length === wanted.length) continue;
        for (const key of old) this.tables.main.deleteElement(set.name, key);
        for (const key of wanted) this.tables.main.addElement(set.name, key);
      }
    }
    return [];
  }

  /** Of keys that several ports may give, how many do now; of others, whether the port does. */
  #count(set: string, element: Element, by: 1 | -1): number {
    if (set !== SETS.addresses4 && set !== SETS.addresses6) return by === 1 ? 1 : 0;
    const key = elementKeyText(['ip saddr'], element);
    const count = (this.#addressUses.get(key) ?? 0) + by;
    if (count === 0) this.#addressUses.delete(key);
    else this.#addressUses.set(key, count);
    return count;
  }

  #elements(port: Port, visit: Visit): void {
    const { main, beside } = this.tables;
    const profile = { name: port.filtering === 'filtered' ? profileName(port) : '' };
    for (const direction of DIRECTIONS) {
      const verdict = portVerdict(
        port,
        () => goTo(profileChainName(profile, direction)),
        unfilteredVerdict(this.datapath, direction),
      );
      visit(main, portMapName(direction), { key: [port.device], data: this.tables.verdict(verdict) });
    }
    const arp = isBridged(this.datapath) ? undefined : beside;
    if (arp !== undefined) {
      const verdict = portVerdict(port, () => goTo(CHAINS.arpGuard));
      visit(arp, portMapName('egress'), { key: [port.device], data: this.tables.verdict(verdict) });
    }
    if (port.filtering !== 'filtered') return;
    const own = this.#ownOf(port);
    for (const set of this.#ownSets) {
      for (const key of set.keys(own)) {
        visit(main, set.name, key);
        if (set.forArp && arp !== undefined) visit(arp, set.name, key);
      }
    }
  }

  /** What a port has added to the sets; of one that is new, what it adds by its groups as they are now. */
  #ownOf(port: Port): OwnKeys {
    const own = this.#own.get(port.id) ?? ownKeys(port, isStateful(port, this.known.securityGroups));
    this.#own.set(port.id, own);
    return own;
  }
}
