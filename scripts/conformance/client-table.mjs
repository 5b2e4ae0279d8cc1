// The list in docs/api.md: which client drove what, and how it ended.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { versionOf } from './debian.mjs';

/** Of each suite that is a client: the packages whose versions are said, and what it drives. */
const CLIENTS = {
  tempest: {
    packages: ['python3-tempest', 'neutron-tempest-plugin'],
    driven: 'OpenStack’s own tests of Neutron’s API: those that a real Neutron passes',
  },
  openstacksdk: {
    packages: ['python3-openstacksdk'],
    driven: 'its acceptance tests of networks, subnets, ports, groups, rules, address groups, policies, quotas',
  },
  'openstack client': {
    packages: ['python3-openstackclient'],
    driven: 'its acceptance tests of the same',
  },
  'openstack, as typed': {
    packages: ['python3-openstackclient', 'python3-keystone'],
    driven: 'commands recorded with a real Neutron, the user guide’s example, each way to log in at a Keystone',
  },
  'import from Neutron': {
    packages: ['neutron-common', 'python3-keystone'],
    driven: '`portcullis import` from a real Neutron, object by object',
  },
};

const BEGIN = '<!-- npm run conformance -- --write -->';
const END = '<!-- end -->';

/** A suite that did not run keeps the lines that it had. */
export function writeClients(root, rows) {
  const path = join(root, 'docs', 'api.md');
  const text = readFileSync(path, 'utf8');
  const [from, to] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (from < 0 || to < from) throw new Error(`${path}: no place for the list: ${BEGIN} ... ${END}`);
  const before = text.slice(from + BEGIN.length, to).split(/^(?=- )/m);
  const items = Object.entries(CLIENTS).map(([suite, { packages, driven }]) => {
    const row = rows.find((one) => one.suite === suite && one.passed + one.failed + one.skipped > 0);
    if (row === undefined) return before.find((item) => item.startsWith(`- ${suite}\n`))?.trimEnd() ?? '';
    const versions = packages.map((name) => `${name} ${versionOf(name)}`).join(', ');
    const skipped = row.skipped > 0 ? `, ${row.skipped} skipped` : '';
    const result = `${row.passed} passed, ${row.failed} failed${skipped}`;
    return `- ${suite}\n  - version: ${versions}\n  - driven: ${driven}\n  - result: ${result}`;
  });
  const list = items.filter((item) => item !== '').join('\n');
  writeFileSync(path, `${text.slice(0, from)}${BEGIN}\n\n${list}\n\n${text.slice(to)}`);
}
