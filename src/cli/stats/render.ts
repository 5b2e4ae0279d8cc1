/** Counters for people: what matters first, one line each; what is zero is one line for all. */
import { ICMP, ICMPV6, PORT_PROTOCOLS, protocolName } from '../../../compiler/model/index.js';
import type { Count } from '../../../agent/index.js';
import { shownText } from '../shown-text.js';
import { OF_IPTABLES } from './report.js';
import type { NamedPort, ReportedDrops, ReportedFlow, ReportedRule, StatsReport } from './report.js';

interface Paint {
  readonly bold: (text: string) => string;
  readonly red: (text: string) => string;
  readonly green: (text: string) => string;
  readonly dim: (text: string) => string;
}

export interface RenderOptions {
  /** What was never counted, each rule of a line that stands for several, and every flow, too. */
  readonly all: boolean;
  readonly paint: Paint;
  /** Why there are no names; undefined where there are. */
  readonly nameless: string | undefined;
  /** Whatever the report says of its beginning: what is shown came within this time. In seconds. */
  readonly lastSeconds?: number | undefined;
}

/** More flows than this are counted, unless all are asked for. */
const MOST_FLOWS = 50;

export function renderStats(report: StatsReport, options: RenderOptions): readonly string[] {
  const { all, paint, nameless } = options;
  if (report.mode === 'nothing') return ['nothing of ours is loaded: nothing is counted'];
  const isAudit = report.mode === 'audit';
  const drops = isAudit ? report.audited.drops : report.drops;
  const would = isAudit ? 'would not be' : 'not';
  const dropping = report.rules.filter(({ verdict, isNoise }) => verdict !== 'accept' && !isNoise);
  const accepting = report.rules.filter(({ verdict }) => verdict === 'accept');
  const shown = <T extends Count>(counts: readonly T[]): readonly T[] =>
    [...counts].filter(({ packets }) => all || packets > 0).sort(byPackets);
  return [
    ...(isAudit
      ? [
          paint.red(
            'AUDIT: NOTHING IS ENFORCED. What is said of drops passed; it is what enforcement would have dropped',
          ),
        ]
      : []),
    sinceLine(report, options),
    ...(nameless === undefined ? [] : [paint.dim(nameless)]),
    ...(report.rules.some(({ family }) => OF_IPTABLES.has(family))
      ? ['rules of iptables count since each was written last, and drops there are not counted by port']
      : []),
    ...section(
      paint.bold(`${would} let through, by port:`),
      ['PACKETS', 'BYTES', 'DIRECTION', 'DEVICE', 'PORT'],
      shown(drops).map((drop) => [...figures(drop), drop.direction, drop.device, portText(drop)]),
    ),
    ...section(
      paint.bold(`${would} let through, by reason:`),
      ['PACKETS', 'BYTES', 'CHAIN', 'REASON'],
      shown(dropping).map((rule) => [...figures(rule), rule.chain, `${rule.label}${sinceText(rule)}`]),
    ),
    ...flowSection(report.audited.flows, options),
    ...section(
      paint.bold('let through, by rule:'),
      ['PACKETS', 'BYTES', 'GROUP', 'RULE'],
      shown(accepting).map((rule) => [...figures(rule), groupText(rule), `${ruleText(rule, all)}${sinceText(rule)}`]),
    ),
    ...noiseLines(report.rules, options),
    ...zeroLine(report.rules, all),
  ];
}

function sinceLine({ since }: StatsReport, { lastSeconds }: RenderOptions): string {
  if (lastSeconds !== undefined) return `counted within ${lastSeconds.toString()} s, until ${new Date().toISOString()}`;
  if (since === undefined) return 'counted since these rules were loaded; when that was, a running agent would know';
  return since.isEarlier
    ? `counted since before ${since.at}, when the agent began and found rules loaded`
    : `counted since ${since.at}`;
}

function flowSection(flows: readonly ReportedFlow[], { all, paint }: RenderOptions): readonly string[] {
  const sorted = [...flows].filter(({ packets }) => packets > 0).sort(byPackets);
  const shown = all ? sorted : sorted.slice(0, MOST_FLOWS);
  const more = sorted.length - shown.length;
  return [
    ...section(
      paint.bold('who would be dropped, from whom to which port:'),
      ['PACKETS', 'BYTES', 'DEVICE', 'FROM', 'TO', 'SERVICE', 'CHAIN', 'REASON'],
      shown.map((flow) => [
        ...figures(flow),
        flow.device,
        endText(flow.source, flow.from),
        endText(flow.destination, flow.to),
        serviceText(flow),
        flow.chain,
        flow.because,
      ]),
    ),
    ...(more > 0 ? [`... and ${more.toString()} more flows: --all shows them`] : []),
  ];
}

function noiseLines(rules: readonly ReportedRule[], { all, paint }: RenderOptions): readonly string[] {
  const byKind = new Map<string, number>();
  for (const { isNoise, label, packets } of rules) {
    if (isNoise && (all || packets > 0)) byKind.set(label, (byKind.get(label) ?? 0) + packets);
  }
  if (byKind.size === 0) return [];
  const kinds = [...byKind].sort(([, a], [, b]) => b - a).map(([label, packets]) => `${label} ${packets.toString()}`);
  return [`${paint.bold('noise, nobody’s loss:')} ${kinds.join(', ')}`];
}

function zeroLine(rules: readonly ReportedRule[], all: boolean): readonly string[] {
  const zeros = rules.filter(({ packets }) => packets === 0).length;
  return all || zeros === 0 ? [] : [`${zeros.toString()} other rules never matched: --all shows them`];
}

/** A heading and a table; nothing where there are no rows. */
function section(title: string, header: readonly string[], texts: readonly (readonly string[])[]): readonly string[] {
  if (texts.length === 0) return [];
  const rows = texts.map((row) => row.map(shownText));
  const widths = header.map((cell, column) =>
    rows.reduce((width, row) => Math.max(width, row[column]?.length ?? 0), cell.length),
  );
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => (column < 2 ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0)))
      .join('  ')
      .trimEnd();
  return [title, line(header), ...rows.map(line)];
}

const byPackets = (a: Count, b: Count): number => b.packets - a.packets;

function figures({ packets, bytes }: Count): readonly [string, string] {
  return [packets.toString(), bytes.toString()];
}

function portText({ port }: ReportedDrops): string {
  if (port === undefined) return '-';
  return port.name === '' ? port.id : `${port.name} (${port.id})`;
}

function endText(address: string, port: NamedPort | undefined): string {
  return port === undefined ? address : `${address} (${port.name === '' ? port.id : port.name})`;
}

function groupText({ group, chain }: ReportedRule): string {
  return group === undefined ? chain : group.name === '' ? group.id : group.name;
}

/** The whole id and the rule in words; of several the first, unless all are asked for. */
function ruleText({ rules, label }: ReportedRule, all: boolean): string {
  if (rules === undefined || rules.length === 0) return label;
  const [first] = rules;
  const shown = all || first === undefined ? rules : [first];
  const more = rules.length - shown.length;
  return `${shown.map(({ id, text }) => `${id}: ${text}`).join('; ')}${more > 0 ? `; and ${more.toString()} more` : ''}`;
}

function sinceText({ since }: ReportedRule): string {
  return since === undefined ? '' : ` (since ${since})`;
}

function serviceText({ protocol, port }: ReportedFlow): string {
  const name = protocolName(protocol);
  if (protocol === ICMP || protocol === ICMPV6) {
    return `${name} type ${(port >> 8).toString()} code ${(port & 0xff).toString()}`;
  }
  return PORT_PROTOCOLS.some((one) => one === protocol) ? `${name} ${port.toString()}` : name;
}
