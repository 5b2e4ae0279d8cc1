/**
 * The devices of this host. A port has the one of its own name, or else the one whose alias is `port:<id>` (binder.ts). Rules match
 * devices by name, so a port whose device is not there yet is ready for it.
 */
import type { Link } from './netlink/links.js';
import type { LinkEvent } from './watch/events.js';

const ALIAS = /^port:(.+)$/;
/** As libvirt, Nova, Neutron and Proxmox name the devices of guests. */
const GUEST_NAME = /^(tap|vnet|macvtap|fwpr|qvo|qvb)/;

export class LinkTable {
  readonly #byIndex = new Map<number, Link>();
  readonly #byName = new Map<string, Link>();
  /** Links by the port id that their alias names. */
  readonly #byPort = new Map<string, Link>();

  /**
   * @returns names of devices and ids of ports that the event says something of.
   */
  take(event: LinkEvent): {
    readonly names: Set<string>;
    readonly ports: Set<string>;
  } {
    const touched = { names: new Set<string>(), ports: new Set<string>() };
    switch (event.kind) {
      case 'links': {
        const gone = new Set(this.#byIndex.keys());
        for (const link of event.links) {
          gone.delete(link.index);
          this.#put(link, touched);
        }
        for (const index of gone) this.#remove(index, touched);
        break;
      }
      case 'link':
        this.#put(event.link, touched);
        break;
      case 'link-gone':
        this.#remove(event.index, touched);
        break;
    }
    return touched;
  }

  has(name: string): boolean {
    return this.#byName.has(name);
  }

  /**
   * Devices that look like guests': taps, and what hypervisors name so; veth only where it is plugged into something.
   * @param isKnown true for those that need no mention.
   */
  guestLike(isKnown: (name: string) => boolean): readonly string[] {
    return [...this.#byIndex.values()]
      .filter(({ name, kind, master }) => {
        const looksSo =
          kind === 'tun' || kind === 'macvtap' || GUEST_NAME.test(name) || (kind === 'veth' && master !== 0);
        return looksSo && !isKnown(name);
      })
      .map(({ name }) => name)
      .sort();
  }

  /** Name of the device whose alias names the port. */
  aliased(portId: string): string | undefined {
    return this.#byPort.get(portId)?.name;
  }

  /** The port that the alias of a device names. */
  portOf(name: string): string | undefined {
    return ALIAS.exec(this.#byName.get(name)?.alias ?? '')?.[1];
  }

  #put(link: Link, touched: { names: Set<string>; ports: Set<string> }): void {
    const before = this.#byIndex.get(link.index);
    if (before?.name === link.name && before.alias === link.alias) {
      this.#byIndex.set(link.index, link);
      this.#byName.set(link.name, link);
      return;
    }
    this.#remove(link.index, touched);
    this.#byIndex.set(link.index, link);
    this.#byName.set(link.name, link);
    touched.names.add(link.name);
    const portId = ALIAS.exec(link.alias)?.[1];
    if (portId === undefined) return;
    touched.ports.add(portId);
    const other = this.#byPort.get(portId);
    // Two devices with one alias: the older one keeps it.
    if (other === undefined || other.index > link.index) this.#byPort.set(portId, link);
  }

  #remove(index: number, touched: { names: Set<string>; ports: Set<string> }): void {
    const link = this.#byIndex.get(index);
    if (link === undefined) return;
    this.#byIndex.delete(index);
    // A link of the same name may have come before the old one went.
    if (this.#byName.get(link.name)?.index === index) this.#byName.delete(link.name);
    touched.names.add(link.name);
    const portId = ALIAS.exec(link.alias)?.[1];
    if (portId === undefined) return;
    touched.ports.add(portId);
    if (this.#byPort.get(portId)?.index !== index) return;
    this.#byPort.delete(portId);
    const next = [...this.#byIndex.values()].find(({ alias }) => alias === link.alias);
    if (next !== undefined) this.#byPort.set(portId, next);
  }
}
