/** Ports as they were read, by id and by the devices that they have. */
import { devicePlaces, placeKey, type DevicePlace, type Port } from '../../../compiler/model/index.js';

export class PortsRead {
  readonly #byId = new Map<string, Port>();
  /** Ids by the names of devices: mostly one, since hardly two hosts have a device of one name. */
  readonly #byDevice = new Map<string, string | readonly string[]>();

  get(id: string): Port | undefined {
    return this.#byId.get(id);
  }

  all(): ReadonlyMap<string, Port> {
    return this.#byId;
  }

  clear(): void {
    this.#byId.clear();
    this.#byDevice.clear();
  }

  /** @param port as it is now; undefined for one that is gone. */
  put(id: string, port: Port | undefined): void {
    const before = this.#byId.get(id);
    if (before !== undefined) this.#name(before.device, (ids) => ids.filter((one) => one !== id));
    this.#byId.delete(id);
    if (port === undefined) return;
    this.#byId.set(id, port);
    this.#name(port.device, (ids) => [...ids, port.id]);
  }

  /** Ids of the ports that have a device on a host. */
  ownersOf(place: DevicePlace): readonly string[] {
    const key = placeKey(place);
    return this.#withDevice(place.device).filter((id) => {
      const port = this.#byId.get(id);
      return port !== undefined && devicePlaces(port).some((own) => placeKey(own) === key);
    });
  }

  #withDevice(device: string): readonly string[] {
    return [this.#byDevice.get(device) ?? []].flat();
  }

  #name(device: string, change: (ids: readonly string[]) => readonly string[]): void {
    const ids = change(this.#withDevice(device));
    const [only] = ids;
    this.#byDevice.delete(device);
    if (only !== undefined) this.#byDevice.set(device, ids.length === 1 ? only : ids);
  }
}
