/** Documents of topologies some of whose objects are broken, in the ways in which people and old databases break them. */
import fc from 'fast-check';

type Fields = Readonly<Record<string, unknown>>;
export type Document = Readonly<Record<string, unknown>>;

type Breakage = (object: Fields) => readonly Fields[];

const put =
  (fields: Fields): Breakage =>
  (object) => [{ ...object, ...fields }];
const twice: Breakage = (object) => [object, { ...object, description: 'again' }];

const BREAKAGES = {
  ports: [
    put({ mac_address: 'x' }),
    put({ fixed_ips: [{ ip_address: '10.0.0.300' }] }),
    put({ bogus: 1 }),
    put({ security_groups: 5 }),
    put({ device: 'a b' }),
    put({ admin_state_up: 'no' }),
    put({ 'binding:host_id': {} }),
    twice,
  ],
  security_groups: [put({ stateful: 'x' }), put({ security_group_rules: {} }), put({ bogus: 1 }), twice],
  address_groups: [put({ addresses: ['10.0.0.0/8', 'x'] }), put({ bogus: 1 }), put({ addresses: 5 })],
  rules: [
    put({ protocol: 'nonsense' }),
    put({ protocol: 'tcp', port_range_min: 0, port_range_max: 65535 }),
    put({ protocol: 'tcp', port_range_min: 443, port_range_max: 80 }),
    put({ direction: 'up' }),
    put({ remote_ip_prefix: '10.0.0.0/99', remote_group_id: null, remote_address_group_id: null }),
    put({ bogus: 1 }),
  ],
} as const satisfies Readonly<Record<string, readonly Breakage[]>>;

type Broken = keyof typeof BREAKAGES;

export interface Choice {
  readonly kind: Broken;
  readonly where: number;
  readonly how: number;
}

export const arbitraryBreakages = fc.array(
  fc.record({
    kind: fc.constantFrom<Broken>('ports', 'security_groups', 'address_groups', 'rules'),
    where: fc.nat(1000),
    how: fc.nat(1000),
  }),
  { minLength: 1, maxLength: 4 },
);

/** True for a choice that has an object stand there twice. */
export function isTwice({ kind, how }: Choice): boolean {
  const all: readonly Breakage[] = BREAKAGES[kind];
  return all[how % all.length] === twice;
}

export const listOf = (content: Document, key: string): readonly Fields[] => content[key] as readonly Fields[];

/** The document with these objects broken, and the one that says the same without them. */
export function broken(
  content: Document,
  choices: readonly Choice[],
): { readonly bad: Document; readonly without: Document } {
  const isGone = { ports: new Set<unknown>(), groups: new Set<unknown>(), addressGroups: new Set<unknown>() };
  let bad = content;
  const brokenRules = new Map<Fields, Fields>();
  for (const { kind, where, how } of choices) {
    if (kind === 'rules') {
      const rules = listOf(content, 'security_groups').flatMap((one) => listOf(one, 'security_group_rules'));
      const rule = rules[where % rules.length];
      const [result] = rule === undefined ? [] : (BREAKAGES.rules[how % BREAKAGES.rules.length]?.(rule) ?? []);
      if (rule !== undefined && result !== undefined) brokenRules.set(rule, result);
      continue;
    }
    const list = listOf(content, kind);
    const object = list[where % list.length];
    if (object === undefined) continue;
    const gone = kind === 'ports' ? isGone.ports : kind === 'security_groups' ? isGone.groups : isGone.addressGroups;
    if (gone.has(object['id'])) continue;
    gone.add(object['id']);
    const all: readonly Breakage[] = BREAKAGES[kind];
    bad = {
      ...bad,
      [kind]: listOf(bad, kind).flatMap((one) => (one === object ? (all[how % all.length]?.(one) ?? []) : [one])),
    };
  }
  const withRules = (document: Document, map: (rule: Fields) => readonly Fields[]): Document => ({
    ...document,
    security_groups: listOf(document, 'security_groups').map((one) =>
      Array.isArray(one['security_group_rules'])
        ? { ...one, security_group_rules: listOf(one, 'security_group_rules').flatMap(map) }
        : one,
    ),
  });
  const without = withRules(
    {
      ...content,
      ports: listOf(content, 'ports')
        .filter(({ id }) => !isGone.ports.has(id))
        .map((one) => ({
          ...one,
          security_groups: (one['security_groups'] as readonly string[]).filter((id) => !isGone.groups.has(id)),
        })),
      security_groups: listOf(content, 'security_groups').filter(({ id }) => !isGone.groups.has(id)),
      address_groups: listOf(content, 'address_groups').filter(({ id }) => !isGone.addressGroups.has(id)),
    },
    (rule) => (brokenRules.has(rule) ? [] : [rule]),
  );
  return { bad: withRules(bad, (rule) => [brokenRules.get(rule) ?? rule]), without };
}
