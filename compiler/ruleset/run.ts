/**
 * Runs a packet through a ruleset, without a kernel: the same hooks, lookups and verdicts. For tests, and for tools that
 * ask where a packet ends up.
 */
import type { FlowState, Frame } from '../model/index.js';
import { DEFAULT_OPTIONS } from '../options.js';
import { runChain } from './run-chain.js';
import { fieldsOf, flowOf, type Devices, type FlowOptions, type Packet, type Sent } from './run-packet.js';
import type { Chain, Hook, Ruleset, Table } from './types.js';
import { isBridged } from '../datapath.js';

export interface Passage {
  /** `unseen`: no hook of the ruleset sees such a frame (ARP to a port and frames that are not IP, when routed). */
  readonly verdict: 'accept' | 'drop' | 'unseen';
  /** Chain and comment of the rule that decided; undefined when the base chain's policy or nothing did. */
  readonly decidedBy: { readonly chain: string; readonly comment: string } | undefined;
}

const PLAIN: FlowOptions = { direction: 'original', options: DEFAULT_OPTIONS };

/** A packet that the device sends into the host. */
export function runEgress(
  ruleset: Ruleset,
  device: string,
  frame: Frame,
  state: FlowState,
  flow: FlowOptions = PLAIN,
): Passage {
  const run = (family: Table['family'], hook: Hook['hook']): Passage =>
    runHook(ruleset, { family, hook }, { iifname: device }, { frame, state, flow, end: 'egress' });
  if (isBridged(ruleset.datapath)) return run('bridge', 'prerouting');
  switch (frame.payload.kind) {
    case 'ip':
      return isPlain(frame) ? run('inet', 'prerouting') : UNSEEN;
    case 'arp':
      return isPlain(frame) ? run('arp', 'input') : UNSEEN;
    case 'rarp':
    case 'other':
      return UNSEEN;
  }
}

/** A packet that the host is about to give to the device. */
export function runIngress(
  ruleset: Ruleset,
  device: string,
  frame: Frame,
  state: FlowState,
  flow: FlowOptions = PLAIN,
): Passage {
  const run = (family: Table['family']): Passage =>
    runHook(ruleset, { family, hook: 'postrouting' }, { oifname: device }, { frame, state, flow, end: 'ingress' });
  if (isBridged(ruleset.datapath)) return run('bridge');
  if (frame.payload.kind !== 'ip' || !isPlain(frame)) return UNSEEN;
  return run('inet');
}

const UNSEEN: Passage = { verdict: 'unseen', decidedBy: undefined };

function isPlain(frame: Frame): boolean {
  return frame.vlanTags.length === 0 && !frame.snap;
}

interface Place {
  readonly family: Table['family'];
  readonly hook: Hook['hook'];
}

function runHook(ruleset: Ruleset, place: Place, devices: Devices, sent: Sent): Passage {
  const fields = new Map(fieldsOf(sent.frame, devices));
  const own = devices.oifname === undefined ? undefined : ownMac(ruleset, devices.oifname);
  if (own !== undefined) fields.set('ether daddr', own);
  const packet: Packet = { fields, flow: flowOf(sent), mark: 0 };
  if (ruleset.datapath === 'bridge-netfilter' && isShown(sent.frame)) {
    // br_netfilter shows it to table inet before table bridge: as a packet of the bridge.
    const shown: Packet = { ...packet, fields: fieldsOf(sent.frame, {}) };
    runTables(ruleset, { family: 'inet', hook: 'prerouting' }, shown);
    packet.mark = shown.mark;
  }
  return runTables(ruleset, place, packet);
}

/** What is given to a port's device is taken to be for the port: its MAC, as the sets of own addresses have it. */
function ownMac(ruleset: Ruleset, device: string): string | undefined {
  for (const { sets } of ruleset.tables) {
    const content = sets.get('macs')?.content;
    const key = content?.data === 'none' ? content.elements.find(([name]) => name === device) : undefined;
    if (typeof key?.[1] === 'string') return key[1];
  }
  return undefined;
}

/** Untagged IP. */
function isShown(frame: Frame): boolean {
  return frame.payload.kind === 'ip' && isPlain(frame);
}

function runTables(ruleset: Ruleset, { family, hook }: Place, packet: Packet): Passage {
  for (const table of ruleset.tables) {
    if (table.family !== family) continue;
    for (const base of baseChainsOf(table, hook)) {
      const passage = runChain({ table, packet }, base, 0);
      if (passage.verdict === 'drop') return { verdict: 'drop', decidedBy: passage.decidedBy };
      if (passage.verdict === 'accept') return { verdict: 'accept', decidedBy: passage.decidedBy };
    }
  }
  return { verdict: 'accept', decidedBy: undefined };
}

function baseChainsOf(table: Table, hook: Hook['hook']): readonly Chain[] {
  return [...table.chains.values()]
    .filter((chain) => chain.hook?.hook === hook)
    .sort((a, b) => (a.hook?.priority ?? 0) - (b.hook?.priority ?? 0));
}
