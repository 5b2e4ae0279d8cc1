/**
 * A topology with all its ports on one host, and packets through it: each verdict is that of the oracle, and the compiled
 * rulesets of both datapaths must agree with it.
 */
import { expect } from 'vitest';
import { judgeEgress, judgeIngress, type Judgement } from '../../compiler/semantics/index.js';
import { compile, DATAPATHS, DEFAULT_OPTIONS, runEgress, runIngress } from '../../compiler/index.js';
import {
  parseAddress,
  parseTopology,
  type FlowState,
  type Frame,
  type IpPacket,
  type Port,
  type Prefix,
  type Problem,
  type Topology,
  type Transport,
} from '../../compiler/model/index.js';

export type Fields = Readonly<Record<string, unknown>>;

/** Neutron's fields of a port whose addresses and MAC follow from its number. */
export function portFields(number: number, securityGroups: readonly string[], fields: Fields = {}): Fields {
  return {
    id: `port${String(number).padStart(4, '0')}-0000`,
    name: `p${String(number)}`,
    network_id: 'net00001-0000',
    mac_address: macOf(number),
    fixed_ips: [{ ip_address: `10.0.0.${String(number)}` }, { ip_address: `fd00::${number.toString(16)}` }],
    security_groups: securityGroups,
    ...fields,
  };
}

export function macOf(number: number): string {
  return `fa:16:3e:00:00:${number.toString(16).padStart(2, '0')}`;
}

export function groupFields(id: string, rules: readonly Fields[], fields: Fields = {}): Fields {
  return { id, name: id, security_group_rules: rules, ...fields };
}

export function exact(text: string): Prefix {
  const address = parseAddress(text);
  if (address === undefined) throw new Error(`${text} is no address`);
  return address;
}

export function ports(protocol: 6 | 17 | 33 | 132 | 136, destinationPort: number, sourcePort = 40_000): Transport {
  return { kind: 'ports', protocol, sourcePort, destinationPort };
}

export function icmp(type: number, code = 0): Transport {
  return { kind: 'icmp', protocol: 1, type, code };
}

export function icmpv6(type: number, target?: string): Transport {
  const plain = { kind: 'icmp', protocol: 58, type, code: 0 } as const;
  return target === undefined ? plain : { ...plain, target: exact(target) };
}

export function packet(source: string, destination: string, transport: Transport): IpPacket {
  return { kind: 'ip', source: exact(source), destination: exact(destination), transport };
}

export interface World {
  readonly topology: Topology;
  readonly problems: readonly Problem[];
  /** What becomes of a frame that the port sends; its own MAC unless another is given. */
  readonly sends: (port: number, payload: Frame['payload'], more?: Partial<Frame> & { state?: FlowState }) => Judgement;
  /** What becomes of a frame that the host is about to give to the port. */
  readonly gets: (port: number, payload: Frame['payload'], more?: Partial<Frame> & { state?: FlowState }) => Judgement;
}

export function world(content: Fields): World {
  const { topology, problems } = parseTopology([{ file: 'world', content }]);
  const context = { topology, widestPairLength: DEFAULT_OPTIONS.widestPairLength };
  const rulesets = DATAPATHS.map((datapath) => compile(topology, () => true, { ...DEFAULT_OPTIONS, datapath }).ruleset);
  const portOf = (number: number): Port => {
    const found = [...topology.ports.values()].find(({ name }) => name === `p${String(number)}`);
    if (found === undefined) throw new Error(`no port p${String(number)}`);
    return found;
  };
  const judged = (judgement: Judgement, ran: readonly { readonly verdict: string }[]): Judgement => {
    for (const { verdict } of ran) expect(['unseen', judgement.verdict]).toContain(verdict);
    expect(ran.at(-1)?.verdict).toBe(judgement.verdict);
    return judgement;
  };
  return {
    topology,
    problems,
    sends: (number, payload, { state = 'new', ...more } = {}) => {
      const port = portOf(number);
      const frame = { sourceMac: port.mac, vlanTags: [], snap: false, payload, ...more };
      return judged(
        judgeEgress(context, port, frame, state),
        rulesets.map((ruleset) => runEgress(ruleset, port.device, frame, state)),
      );
    },
    gets: (number, payload, { state = 'new', ...more } = {}) => {
      const port = portOf(number);
      const frame = { sourceMac: '02:00:00:00:00:01', vlanTags: [], snap: false, payload, ...more };
      return judged(
        judgeIngress(context, port, frame, state),
        rulesets.map((ruleset) => runIngress(ruleset, port.device, frame, state)),
      );
    },
  };
}
