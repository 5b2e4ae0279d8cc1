/** What a port of this host is here: with the device that it has, and closed where the kernel refused its rules. */
import type { Port } from '../compiler/model/index.js';

/** Devices that are there. */
export interface Links {
  readonly has: (name: string) => boolean;
  /** Name of the device whose alias names the port. */
  readonly aliased: (portId: string) => string | undefined;
}

/**
 * @param owner gives the port that has a name of a device as its own.
 * @param refused the device for which the kernel refused the port's rules; undefined where it took them.
 */
export function bind(
  port: Port,
  links: Links,
  owner: (device: string) => string | undefined,
  refused: string | undefined,
): Port {
  const device = deviceOf(port, links, (name) => (owner(name) ?? port.id) !== port.id);
  return {
    ...port,
    device,
    ...(device === refused ? { filtering: 'down', securityGroupIds: [], allowedAddressPairs: [] } : {}),
  };
}

/**
 * The device that a port's rules are for.
 * @param isTaken true for a name that another port of the host has as its own.
 */
export function deviceOf(port: Port, links: Links, isTaken: (name: string) => boolean): string {
  if (links.has(port.device)) return port.device;
  const aliased = links.aliased(port.id);
  return aliased === undefined || isTaken(aliased) ? port.device : aliased;
}
