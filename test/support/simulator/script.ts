/** What happens to a host, as data: a script is drawn, run, shrunk where it fails, and printed. */
import fc from 'fast-check';
import { parseTopology, type Topology } from '../../../compiler/model/index.js';
import { groupFields, portFields, type Fields } from '../world.js';
import type { Fate, Machine } from './kernel.js';

export const HOST = 'host-1';

/** What a port may be; the first one: it is not there. */
const PORT_FORMS: readonly (Fields | undefined)[] = [
  undefined,
  { security_groups: ['web'] },
  { security_groups: ['database'] },
  { security_groups: ['web', 'database'] },
  { security_groups: [] },
  { security_groups: ['stateless'] },
  { security_groups: ['web'], allowed_address_pairs: [{ ip_address: '10.9.0.0/24' }] },
  { security_groups: ['web'], fixed_ips: [{ ip_address: '10.0.0.77' }] },
  { security_groups: [], port_security_enabled: false },
  { security_groups: ['web'], admin_state_up: false },
  { security_groups: ['database'], 'binding:host_id': 'host-2' },
];
/** Devices of ports by number: two of the managed prefix, and two that nothing closes by their names. */
export const DEVICES = ['tapone', 'taptwo', 'vnet3', 'vnet4', 'vnet5'] as const;

const tcp = (port: number, fields: Fields = {}): Fields => ({
  ...{ direction: 'ingress', protocol: 'tcp', port_range_min: port, port_range_max: port },
  ...fields,
});
const RULES: readonly Fields[] = [
  tcp(80),
  tcp(22, { remote_ip_prefix: '10.0.0.0/24' }),
  tcp(3306, { remote_group_id: 'web' }),
  tcp(443, { remote_address_group_id: 'offices' }),
  { direction: 'ingress', remote_group_id: 'database' },
  { direction: 'egress' },
  { direction: 'ingress', protocol: 'icmp' },
];
const GROUPS = ['web', 'database', 'stateless'] as const;
const OFFICES = ['10.0.0.1', '10.0.0.0/28', '10.9.0.0/16', '10.0.0.77'];

/** What the source says, as choices among these. */
export interface Policy {
  readonly ports: readonly number[];
  readonly rules: readonly (readonly number[])[];
  readonly offices: readonly number[];
}

export const FIRST_POLICY: Policy = { ports: [1, 2, 1, 0, 10], rules: [[0, 5], [2], []], offices: [0] };

export type Step =
  | { readonly kind: 'port'; readonly port: number; readonly form: number }
  | { readonly kind: 'rules'; readonly group: number; readonly rules: readonly number[] }
  | { readonly kind: 'offices'; readonly offices: readonly number[] }
  /** A device comes, by its name or as the one whose alias names the port; or goes. */
  | { readonly kind: 'plug'; readonly device: string; readonly alias: number | undefined }
  | { readonly kind: 'unplug'; readonly device: string }
  /** Somebody else changes our tables. */
  | { readonly kind: 'foreign'; readonly what: Foreign; readonly nth: number }
  /** What becomes of one of the next requests to the kernel. */
  | { readonly kind: 'fault'; readonly fate: Fate; readonly after: number }
  /** The kernel refuses the rules of the port that has this device, until it does not. */
  | { readonly kind: 'refuse'; readonly device: string }
  | { readonly kind: 'refuse no more' }
  | { readonly kind: 'watching process dies' }
  | { readonly kind: 'agent dies' }
  | { readonly kind: 'everything stands still'; readonly milliseconds: number }
  | { readonly kind: 'verification' };

export type Foreign =
  'flush' | 'flush base chain' | 'make dormant' | 'delete element' | 'add rule' | 'swap rule' | 'delete and close not';

export interface Script {
  readonly datapath: 'routed' | 'bridge';
  readonly machine: Machine;
  /** Each with the milliseconds before it. */
  readonly steps: readonly (readonly [wait: number, step: Step])[];
}

const below = (limit: number): fc.Arbitrary<number> => fc.integer({ min: 0, max: limit - 1 });
const some = (limit: number): fc.Arbitrary<readonly number[]> =>
  fc.subarray(Array.from({ length: limit }, (_, index) => index));
const device = fc.constantFrom<string>(...DEVICES, 'vnet9');

const sourceStep: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('port'), port: below(5), form: below(PORT_FORMS.length) }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('rules'), group: below(GROUPS.length), rules: some(RULES.length) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('offices'), offices: some(OFFICES.length) }) },
);
const linkStep: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constant('plug'), device, alias: fc.option(below(4), { nil: undefined }) }),
  fc.record({ kind: fc.constant('unplug'), device }),
);
const foreignStep: fc.Arbitrary<Step> = fc.record({
  kind: fc.constant('foreign'),
  what: fc.constantFrom<Foreign>(
    'flush',
    'flush base chain',
    'make dormant',
    'delete element',
    'add rule',
    'swap rule',
    'delete and close not',
  ),
  nth: below(50),
});
const faultStep: fc.Arbitrary<Step> = fc.record({
  kind: fc.constant('fault'),
  fate: fc.constantFrom<Fate>('slow', 'hangs', 'done, then hangs', 'answer lost', 'interrupted', 'lies', 'unheard'),
  after: below(3),
});
const otherStep: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constant('refuse'), device }),
  fc.constant({ kind: 'refuse no more' } as const),
  fc.constant({ kind: 'watching process dies' } as const),
  fc.constant({ kind: 'agent dies' } as const),
  fc.record({ kind: fc.constant('everything stands still'), milliseconds: fc.constantFrom(500, 20_000) }),
  fc.constant({ kind: 'verification' } as const),
);
/** Most things happen while something is under way. */
const wait = fc.constantFrom(0, 0, 1, 2, 3, 5, 8, 13, 60, 400, 1200, 6000, 31_000);

function scriptOf(step: fc.Arbitrary<Step>, mostOfPiece: readonly number[]): fc.Arbitrary<Script> {
  return fc.record({
    datapath: fc.constantFrom('routed', 'bridge'),
    machine: fc.record({ isDirect: fc.boolean(), mostOfPiece: fc.constantFrom(...mostOfPiece) }),
    steps: fc.array(fc.tuple(wait, step), { minLength: 1, maxLength: 12 }),
  });
}

/** Whatever can happen. */
export function arbitraryScript(): fc.Arbitrary<Script> {
  const step = fc.oneof(
    { weight: 6, arbitrary: sourceStep },
    { weight: 2, arbitrary: linkStep },
    { weight: 2, arbitrary: foreignStep },
    { weight: 4, arbitrary: faultStep },
    { weight: 2, arbitrary: otherStep },
  );
  return scriptOf(step, [20, 2000]);
}

/** Only what the source says, and links. */
export function arbitraryQuietScript(): fc.Arbitrary<Script> {
  return scriptOf(fc.oneof({ weight: 3, arbitrary: sourceStep }, { weight: 1, arbitrary: linkStep }), [2000]);
}

const topologies = new Map<string, Topology>();

export function topologyOf(policy: Policy): Topology {
  const text = JSON.stringify(policy);
  const known = topologies.get(text);
  if (known !== undefined) return known;
  const ports = policy.ports.flatMap((form, index) => {
    const fields = PORT_FORMS[form];
    const host = { 'binding:host_id': index === 4 ? 'host-2' : HOST, device: DEVICES[index] };
    return fields === undefined ? [] : [{ ...portFields(index + 1, []), ...host, ...fields }];
  });
  const groups = GROUPS.map((id, index) =>
    groupFields(
      id,
      (policy.rules[index] ?? []).flatMap((rule): Fields[] => [RULES[rule] ?? {}]),
      {
        ...(id === 'stateless' ? { stateful: false } : {}),
      },
    ),
  );
  const addresses = policy.offices.flatMap((index) => OFFICES[index] ?? []);
  const content = { ports, security_groups: groups, address_groups: [{ id: 'offices', name: 'offices', addresses }] };
  const { topology, problems } = parseTopology([{ file: 'script', content }]);
  if (problems.length > 0) throw new Error(`the script's topology is not valid: ${JSON.stringify(problems[0])}`);
  topologies.set(text, topology);
  return topology;
}

/** What a step makes of what the source says; the same object where it says nothing. */
export function afterStep(policy: Policy, step: Step): Policy {
  switch (step.kind) {
    case 'port':
      return { ...policy, ports: policy.ports.with(step.port, step.form) };
    case 'rules':
      return { ...policy, rules: policy.rules.with(step.group, step.rules) };
    case 'offices':
      return { ...policy, offices: step.offices };
    default:
      return policy;
  }
}
