/** Figures that are asked for when somebody reads them. Each is asked of whoever knows it: no status document is made for that. */
import type { HostCompiler } from '../compiler/index.js';
import type { Port } from '../compiler/model/index.js';
import type { Moment } from './clock.js';
import type { DropCounter } from './drop-totals.js';
import type { Metrics } from './metrics.js';
import type { PortState } from './status.js';

/** Who is asked. */
export interface Figures {
  readonly audit: boolean;
  /** What runs here, as labels. */
  readonly build: Readonly<Record<string, string>>;
  readonly compiler: Pick<HostCompiler, 'count'>;
  readonly drops: Pick<DropCounter, 'totals'>;
  /** The kernel holds the policy, nothing keeps it from judging packets, and this is no audit. */
  readonly isEnforcing: () => boolean;
  /** In milliseconds; undefined while nothing is late. */
  readonly lateFor: () => number | undefined;
  /** For how long nobody has read the kernel's notices; in milliseconds. */
  readonly awayFor: () => number;
  readonly notFiltered: () => readonly string[];
  readonly formerDevices: () => readonly string[];
  readonly ports: () => Iterable<Port>;
  readonly stateOf: (port: Port) => PortState;
  readonly hasDevice: (device: string) => boolean;
  readonly refused: () => number;
  /** Isolated objects that concern this host. */
  readonly isolated: () => number;
  readonly staleSince: () => Moment | undefined;
  readonly readAt: () => Moment | undefined;
}

const NO_PORTS: Readonly<Record<PortState, number>> = {
  enforced: 0,
  pending: 0,
  refused: 0,
  unfiltered: 0,
  down: 0,
  closed: 0,
};

export function declareGauges(metrics: Metrics, figures: Figures): void {
  const gauge = metrics.gauge.bind(metrics);
  const { audit, build, compiler, drops, ports } = figures;
  gauge('portcullis_enforced', '1 while the kernel holds the policy and judges by it.', () =>
    figures.isEnforcing() ? 1 : 0,
  );
  gauge(
    'portcullis_late_seconds',
    'For how long the oldest change waits that is not in force; 0 while none is late.',
    () => (figures.lateFor() ?? 0) / 1000,
  );
  gauge(
    'portcullis_watching_away_seconds',
    'For how long nobody has read the kernel’s notices; 0 while somebody does.',
    () => figures.awayFor() / 1000,
  );
  gauge(
    'portcullis_devices_not_filtered',
    'Devices that look like guests’ and are none of a port’s.',
    () => figures.notFiltered().length,
  );
  gauge(
    'portcullis_devices_closed',
    'Devices that are closed since they were a port’s once.',
    () => figures.formerDevices().length,
  );
  gauge('portcullis_audit', '1 in audit mode: nothing is enforced.', () => (audit ? 1 : 0));
  metrics.gaugeBy('portcullis_ports', 'Ports of this host, by state.', 'state', () => {
    const counts: Record<PortState, number> = { ...NO_PORTS };
    for (const port of ports()) counts[figures.stateOf(port)]++;
    return counts;
  });
  gauge(
    'portcullis_ports_absent',
    'Ports of this host whose device is not there.',
    () => [...ports()].filter(({ device }) => !figures.hasDevice(device)).length,
  );
  metrics.totalsBy(
    'portcullis_dropped_packets_total',
    'Packets from ports (egress) and to ports (ingress) that were not let through.',
    'direction',
    async () => ({ ...(await drops.totals()).dropped }),
  );
  metrics.totalsBy(
    'portcullis_audited_packets_total',
    'In audit mode: packets that passed and would have been dropped.',
    'direction',
    async () => ({ ...(await drops.totals()).audited }),
  );
  metrics.info('portcullis_build_info', 'What runs here; always 1.', build);
  gauge('portcullis_ports_refused', 'Ports that are closed since the kernel refuses their rules.', figures.refused);
  gauge(
    'portcullis_objects_isolated',
    'Objects of the topology that are bad and concern this host: their last good versions, or nothing, are in force.',
    figures.isolated,
  );
  for (const kind of ['sets', 'chains', 'elements'] as const) {
    gauge(`portcullis_${kind}`, `Kernel ${kind} that the policy takes.`, () => compiler.count()[kind]);
  }
  gauge('portcullis_source_stale_seconds', 'For how long the source cannot be used; 0 while it can.', () =>
    secondsSince(figures.staleSince()),
  );
  gauge('portcullis_source_age_seconds', 'Since the last topology was read.', () => secondsSince(figures.readAt()));
}

function secondsSince(moment: Moment | undefined): number {
  return (moment?.age() ?? 0) / 1000;
}
