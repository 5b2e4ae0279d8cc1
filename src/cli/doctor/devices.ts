/** Devices of guests against ports: who is closed since nobody knows it, who is not filtered at all, which port has no device. */
import { LinkTable, type Link } from '../../../agent/index.js';
import { isManagedDevice, type CompileOptions } from '../../../compiler/index.js';
import { START, type AgentFacts } from './agent-state.js';
import { named, ok, unknown, warning, type Finding } from './finding.js';

export function judgeDevices(links: readonly Link[], agent: AgentFacts, options: CompileOptions): readonly Finding[] {
  const status = agent.kind === 'answers' ? agent.status : undefined;
  const ofPorts = new Set(status?.ports.map(({ device }) => device) ?? []);
  const former = new Set(status?.formerDevices ?? []);
  const isKnown = (name: string): boolean => ofPorts.has(name) || former.has(name);
  const managed = links.map(({ name }) => name).filter((name) => isManagedDevice(options, name));

  const table = new LinkTable();
  table.take({ kind: 'links', links });
  const notFiltered = table.guestLike((name) => isManagedDevice(options, name) || isKnown(name));
  const closed = managed.filter((name) => !isKnown(name)).sort();
  const without = status?.ports.filter(({ isDevicePresent }) => !isDevicePresent) ?? [];

  const findings: Finding[] = [];
  if (notFiltered.length > 0) {
    findings.push(
      warning(
        `not filtered, though they look like guests’: ${named(notFiltered)}: no port names them, and no --device-prefix (${options.devicePrefixes.join(', ')}) covers them`,
        'give the agent and the baseline their prefix (--device-prefix), or name them in the source',
      ),
    );
  }
  if (status === undefined && managed.length > 0) {
    findings.push(unknown(`whether ports cover ${named(managed)}: no agent answers`, START));
  } else if (closed.length > 0) {
    findings.push(
      warning(
        `closed, since no port is known for them: ${named(closed)}`,
        'name them in the source, or leave them closed',
      ),
    );
  }
  if (without.length > 0) {
    findings.push(
      warning(
        `ports without a device: ${named(without.map(({ name, id, device }) => `${name === '' ? id : name} (${device})`))}`,
        'plug them, or name the device that they have: ip link set dev DEVICE alias port:ID',
      ),
    );
  }
  if (findings.length > 0) return findings;
  const prefixes = options.devicePrefixes.join(', ');
  return [
    ok(
      managed.length === 0
        ? `none of the managed prefixes (${prefixes}) is there, and none that looks like a guest’s`
        : `${managed.length.toString()} of the managed prefixes (${prefixes}), each of a port’s`,
    ),
  ];
}
