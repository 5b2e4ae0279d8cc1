/** Settings of the kernel that decide whether packets get to our rules, and where they go behind them. */
import { readFile } from 'node:fs/promises';
import { readBridgeCalls, type BridgeCall, type Link } from '../../../agent/index.js';
import { isManagedDevice, type CompileOptions } from '../../../compiler/index.js';
import { failed, named, ok, warning, type Finding } from './finding.js';

export interface SettingsFacts {
  readonly bridgeCalls: readonly BridgeCall[];
  /** By family: does the host forward at all? */
  readonly forwards: Readonly<Record<'IPv4' | 'IPv6', boolean>>;
  /** Devices of guests to which routes lead. */
  readonly routed: Readonly<Record<'IPv4' | 'IPv6', readonly string[]>>;
  /** Devices of guests on which a source must be routed back to the device that it comes from. */
  readonly strict: readonly string[];
}

export async function readSettings(options: CompileOptions, links: readonly Link[]): Promise<SettingsFacts> {
  const taps = links.map(({ name }) => name).filter((name) => isManagedDevice(options, name));
  const [bridgeCalls, v4, v6, routes4, routes6, all, ...each] = await Promise.all([
    readBridgeCalls(),
    setting('net/ipv4/ip_forward'),
    setting('net/ipv6/conf/all/forwarding'),
    readFile('/proc/net/route', 'utf8'),
    // A kernel may lack IPv6.
    readFile('/proc/net/ipv6_route', 'utf8').catch(() => ''),
    setting('net/ipv4/conf/all/rp_filter'),
    ...taps.map(async (tap) => setting(`net/ipv4/conf/${tap}/rp_filter`)),
  ]);
  const isTap = (device: string): boolean => taps.includes(device);
  return {
    bridgeCalls,
    forwards: { IPv4: v4 === '1', IPv6: v6 === '1' },
    routed: { IPv4: devicesIn4(routes4).filter(isTap), IPv6: devicesIn6(routes6).filter(isTap) },
    // ip-sysctl.rst: the greater of both counts, and 1 is strict.
    strict: taps.filter((_tap, index) => Math.max(Number(all ?? 0), Number(each[index] ?? 0)) === 1),
  };
}

/** Undefined where there is none. */
async function setting(name: string): Promise<string | undefined> {
  return readFile(`/proc/sys/${name}`, 'utf8').then(
    (text) => text.trim(),
    () => undefined,
  );
}

/** Of /proc/net/route: the device is the first column, below a heading. */
export function devicesIn4(text: string): readonly string[] {
  const lines = text.trim().split('\n').slice(1);
  return [...new Set(lines.map((line) => line.split(/\s/)[0] ?? ''))];
}

/** Of /proc/net/ipv6_route: destination and device are the first and the last column. Link-local and multicast routes are the kernel's own. */
export function devicesIn6(text: string): readonly string[] {
  const lines = text
    .trim()
    .split('\n')
    .filter((line) => !/^(fe80|ff00)/.test(line));
  return [...new Set(lines.map((line) => /\S+$/.exec(line)?.[0] ?? ''))];
}

export function judgeSettings(facts: SettingsFacts, options: CompileOptions): readonly Finding[] {
  const findings = options.datapath === 'routed' ? judgeRouting(facts) : judgeBridging(facts, options);
  return findings.length > 0 ? findings : [ok(`as --datapath ${options.datapath} wants them`)];
}

function judgeBridging({ bridgeCalls }: SettingsFacts, { datapath }: CompileOptions): readonly Finding[] {
  if (datapath !== 'bridge-netfilter') return [];
  return bridgeCalls.flatMap(({ name, state }) => {
    switch (state) {
      case 'on':
        return [];
      case 'off':
        return [
          failed(
            `${name} is off: packets of bridges are not shown to our rules, and are closed`,
            `sysctl -w ${name}=1`,
          ),
        ];
      case 'missing':
        return [failed(`there is no ${name}: the kernel lacks br_netfilter`, 'modprobe br_netfilter')];
    }
  });
}

const FORWARDING = { IPv4: 'net.ipv4.ip_forward', IPv6: 'net.ipv6.conf.all.forwarding' };

function judgeRouting({ forwards, routed, strict }: SettingsFacts): readonly Finding[] {
  const findings: Finding[] = [];
  for (const family of ['IPv4', 'IPv6'] as const) {
    if (forwards[family] || routed[family].length === 0) continue;
    const name = FORWARDING[family];
    findings.push(
      warning(
        `${name} is off, and routes lead to ${named(routed[family])}: guests reach this host alone`,
        `sysctl -w ${name}=1`,
      ),
    );
  }
  const strictRouted = strict.filter((device) => routed.IPv4.includes(device));
  const [first] = strictRouted;
  if (first !== undefined) {
    findings.push(
      warning(
        `rp_filter is strict on ${named(strictRouted)}: the kernel drops, and nobody counts, what comes from an allowed address pair that is not routed there`,
        `sysctl -w net.ipv4.conf.all.rp_filter=2`,
      ),
    );
  }
  return findings;
}
