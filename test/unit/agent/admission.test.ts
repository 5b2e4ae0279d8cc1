/** Whose a live flow is, and whether it may go on: by the ends that admitted it, never by who has its address in a pair. */
import { describe, expect, it } from 'vitest';
import { AdmissionCheck, type Admission } from '../../../agent/flows/admission.js';
import { DEFAULT_OPTIONS, flowBits, HostCompiler } from '../../../compiler/index.js';
import { diffTopologies, EMPTY_TOPOLOGY, parseTopology } from '../../../compiler/model/index.js';
import { flow } from '../../support/flows.js';
import { groupFields, portFields } from '../../support/world.js';

const BITS = flowBits(DEFAULT_OPTIONS);
const OUTSIDE = '192.0.2.9';
const OWNER = '10.0.0.1';

type Fields = Readonly<Record<string, unknown>>;

function check(groups: readonly Fields[], ports: readonly Fields[]): AdmissionCheck {
  const { topology, problems } = parseTopology([{ file: 'test', content: { security_groups: groups, ports } }]);
  expect(problems.filter(({ severity }) => severity === 'error')).toEqual([]);
  const compiler = new HostCompiler(() => true, DEFAULT_OPTIONS);
  compiler.update(diffTopologies(EMPTY_TOPOLOGY, topology));
  return new AdmissionCheck(compiler, BITS, DEFAULT_OPTIONS.widestPairLength);
}

const EGRESS = [{ direction: 'egress' }];
const DNS = { direction: 'ingress', protocol: 'udp', port_range_min: 53, port_range_max: 53 };
const holder = (groups: readonly string[], pair: string): Fields =>
  portFields(2, groups, { network_id: 'theirs', allowed_address_pairs: [{ ip_address: pair }] });

describe('an address pair of somebody else', () => {
  it.each(['0.0.0.0/0', '10.0.0.0/24', OWNER])('cuts nobody: %s', (pair) => {
    const groups = [groupFields('open', EGRESS), groupFields('closed', [])];
    const judge = check(groups, [portFields(1, ['open']), holder(['closed'], pair)]);
    // The owner's way out, to an address that the pair covers, too: the holder never let it in.
    expect(judge.judge(flow(OWNER, OUTSIDE, BITS.originator, [40_000, 53]))).toBe('admitted');
  });

  it.each(['0.0.0.0/0', OWNER])('keeps nothing alive: %s', (pair) => {
    const groups = [groupFields('open', EGRESS), groupFields('closed', [])];
    const judge = check(groups, [portFields(1, ['closed']), holder(['open'], pair)]);
    expect(judge.judge(flow(OWNER, OUTSIDE, BITS.originator, [40_000, 53]))).toBe('refused');
  });

  it('is what an address is judged by that is nobody’s own', () => {
    const of = (groups: readonly string[]): Admission =>
      check([groupFields('open', EGRESS), groupFields('closed', [])], [holder(groups, '10.9.0.0/16')]).judge(
        flow('10.9.9.9', OUTSIDE, BITS.originator, [40_000, 53]),
      );
    expect([of(['open']), of(['closed'])]).toEqual(['admitted', 'refused']);
  });
});

describe('the ends that admitted a flow', () => {
  const judge = check([groupFields('dns', [DNS])], [portFields(1, ['dns'])]);
  it.each([
    ['nobody: no port let it in', 0, 99, 'elsewhere'],
    ['the receiver, by a rule', BITS.responder, 53, 'admitted'],
    ['the receiver, whose rule is gone', BITS.responder, 99, 'refused'],
    ['the sender, that is not of this host', BITS.originator, 99, 'elsewhere'],
  ] as const)('%s', (_what, mark, port, want) => {
    expect(judge.judge(flow(OUTSIDE, OWNER, mark, [40_000, port]))).toBe(want);
  });
});

describe('the link-local address of a port', () => {
  const DNS6 = { ...DNS, ethertype: 'IPv6' };
  const port = portFields(1, ['dns'], {
    mac_address: 'fa:16:3e:00:00:01',
    allowed_address_pairs: [{ ip_address: '10.0.0.9', mac_address: '00:00:5e:00:01:01' }],
  });
  it.each([
    ['of its MAC', 'fe80::f816:3eff:fe00:1'],
    ['of the MAC of its pair', 'fe80::200:5eff:fe00:101'],
  ])('is its own: %s', (_what, own) => {
    const of = (rules: readonly Fields[]): readonly Admission[] => {
      const judge = check([groupFields('dns', rules)], [port]);
      return [
        judge.judge(flow('fe80::9', own, BITS.responder, [40_000, 53])),
        judge.judge(flow(own, 'fe80::9', BITS.originator, [40_000, 53])),
      ];
    };
    expect(of([DNS6, { direction: 'egress', ethertype: 'IPv6' }])).toEqual(['admitted', 'admitted']);
    expect(of([])).toEqual(['refused', 'refused']);
  });
});

describe('flows that are there before the rules', () => {
  const judge = check(
    [groupFields('dns', [...EGRESS, DNS, { ...DNS, port_range_min: 67, port_range_max: 67 }])],
    [portFields(1, ['dns'])],
  );
  it.each([
    ['out, by a rule', OWNER, OUTSIDE, [40_000, 99], BITS.originator],
    ['in, by a rule', OUTSIDE, OWNER, [40_000, 53], BITS.responder],
    ['in, by none', OUTSIDE, OWNER, [40_000, 99], 0],
    ['of a DHCP client to a port: its answers are judged', OUTSIDE, OWNER, [68, 67], 0],
    ['of others', OUTSIDE, '192.0.2.10', [40_000, 53], 0],
  ] as const)('get the bits that they would have: %s', (_what, from, to, ports, want) => {
    expect(judge.bitsFor(flow(from, to, 0, ports))).toBe(want);
  });
});
