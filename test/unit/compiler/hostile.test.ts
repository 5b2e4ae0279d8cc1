import fc from 'fast-check';
import { expect, it } from 'vitest';
import { compile, DEFAULT_OPTIONS, printRuleset } from '../../../compiler/index.js';
import { parseTopology } from '../../../compiler/model/index.js';

type Fields = Readonly<Record<string, unknown>>;

function compileDocument(content: Fields): string {
  const { topology } = parseTopology([{ file: 'hostile', content }]);
  return printRuleset(compile(topology, () => true, DEFAULT_OPTIONS).ruleset);
}

function port(number: number, fields: Fields = {}): Fields {
  return {
    id: `${String(number).padStart(8, '0')}-port`,
    mac_address: `fa:16:3e:${[16, 8, 0].map((shift) => ((number >> shift) & 255).toString(16).padStart(2, '0')).join(':')}`,
    network_id: 'n',
    security_groups: ['g'],
    fixed_ips: [{ ip_address: `10.${[16, 8, 0].map((shift) => String((number >> shift) & 255)).join('.')}` }],
    ...fields,
  };
}

it('names and descriptions of any kind change nothing but comments', () => {
  const named = (name: string): Fields => ({
    security_groups: [{ id: 'g', name, security_group_rules: [{ id: 'r', direction: 'ingress', description: name }] }],
    ports: [port(1, { name })],
  });
  const withoutComments = (text: string): string => text.replaceAll(/ comment "[^"\n]*"/g, '');
  const plain = withoutComments(compileDocument(named('web')));
  const hostile = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.constantFrom('"', '"; flush ruleset;', 'a\nb', '{}', '\\', '🔥', 'x'.repeat(10_000), '\u202e', "'$(reboot)'"),
  );
  fc.assert(
    fc.property(hostile, (name) => {
      const text = compileDocument(named(name));
      expect(withoutComments(text)).toBe(plain);
      for (const [, comment = ''] of text.matchAll(/comment "([^"\n]*)"/g))
        expect(Buffer.byteLength(comment)).toBeLessThanOrEqual(128);
    }),
  );
});

it('2 000 rules in a group compile to a handful of rules', () => {
  const rules = Array.from({ length: 2000 }, (_, number) => ({
    id: `r${String(number)}`,
    direction: 'ingress',
    protocol: number % 2 === 0 ? 'tcp' : 'udp',
    port_range_min: 1000 + 3 * number,
    port_range_max: 1000 + 3 * number + (number % 2),
    ...(number % 4 < 2 ? { remote_ip_prefix: `10.${String(number % 200)}.0.0/16` } : {}),
  }));
  const text = compileDocument({ security_groups: [{ id: 'g', security_group_rules: rules }], ports: [port(1)] });
  const chain = /chain sg_g_in \{\n(?<rules>[^}]*)\t\}/.exec(text)?.groups?.['rules'] ?? '';
  expect(chain.trim().split('\n').length).toBeLessThanOrEqual(8);
});

it('100 000 members of a remote group are 100 000 elements of one set', () => {
  const ports = Array.from({ length: 100_000 }, (_, number) =>
    port(number + 1, number === 0 ? {} : { 'binding:host_id': 'elsewhere' }),
  );
  const content = {
    security_groups: [{ id: 'g', security_group_rules: [{ id: 'r', direction: 'ingress', remote_group_id: 'g' }] }],
    ports,
  };
  const { topology } = parseTopology([{ file: 'large', content }]);
  const { ruleset } = compile(topology, ({ host }) => host === undefined, DEFAULT_OPTIONS);
  expect(ruleset.tables[0]?.sets.get('sg_g_addresses4')?.content.elements).toHaveLength(100_000);
});

it('two groups whose ids agree in the first eight characters get chains of their own', () => {
  const text = compileDocument({
    security_groups: [
      { id: 'aaaaaaaa-1', security_group_rules: [] },
      { id: 'aaaaaaaa-2', security_group_rules: [] },
    ],
    ports: [port(1, { security_groups: ['aaaaaaaa-1', 'aaaaaaaa-2'] })],
  });
  expect(new Set(text.match(/chain sg_aaaaaaaa_\w+_in/g)).size).toBe(2);
});
