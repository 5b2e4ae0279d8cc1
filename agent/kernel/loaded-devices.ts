/** Devices that what is loaded knows as ports': what an agent that starts knows of the time before it. */
import { EMPTY_PROGRAM, inputDevice, type IptablesProgram } from '../../compiler/index.js';
import type { BackendName } from './backend-name.js';
import type { Kernel } from './driver.js';

/** Of nftables without nft, which may not work. @throws KernelError */
export async function readLoadedDevices(kernel: Kernel, backend: BackendName): Promise<ReadonlySet<string>> {
  const devices = await Promise.all((await kernel.families()).map(kernel.devicesIn));
  const program = backend === 'iptables' ? await kernel.iptables.read() : EMPTY_PROGRAM;
  return new Set([...devices.flat(), ...devicesOfIptables(program)]);
}

function devicesOfIptables({ families }: IptablesProgram): readonly string[] {
  const rules = Object.values(families).flatMap(({ mangle }) => mangle.flatMap((chain) => chain.rules));
  // A name with a plus at its end stands for all that begin so.
  return rules.flatMap((rule) => inputDevice(rule) ?? []).filter((device) => !device.endsWith('+'));
}
