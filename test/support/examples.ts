/** Every command that README.md and the manual's pages have their readers type, and what comes of it. */

import { FIRST_HOST } from './first-host.js';
import { bareCommand, readmePicture } from './manual-pages.js';

/** What is expected of an example. */
export interface Outcome {
  /** Exit statuses, any of which is right; 0 alone if absent. */
  readonly exit?: readonly number[];
  /** In what it prints. */
  readonly prints?: RegExp | string;
  /** What its reader types when it asks. */
  readonly typed?: string;
  /** It does not end by itself: what it says when it is at work. The others are run beside it. */
  readonly stays?: RegExp;
  /** It does not end by itself, and is ended when it has said that. */
  readonly shows?: RegExp;
  /** What stays is ended before it. */
  readonly isAlone?: true;
}

/** Commands as the pages have them, in the order in which they are run. */
export type Examples = Readonly<Record<string, Outcome>>;

const EXAMPLE = 'examples/web-and-database.yaml';
/** What a host that may not be at its best is told; the machine's clock and disks are not the test's. */
const WELL_OR_WARNED = [0, 16];

/** They need no rights. */
export const ANYWHERE: Examples = {
  [`portcullis check ${EXAMPLE}`]: { prints: /^6 ports, / },
  'portcullis check examples/neutron-dump --json': { prints: /^\[/ },
  [`portcullis compile --dry-run -t ${EXAMPLE}`]: { prints: /^table inet portcullis \{$/m },
  [`portcullis compile --dry-run -t ${EXAMPLE} --port web-1`]: { prints: /^table inet portcullis \{$/m },
  [`portcullis compile --dry-run -t ${EXAMPLE} --backend iptables --part ip6tables`]: { prints: /^\*mangle$/m },
  [`portcullis explain -t ${EXAMPLE} \\\n    --from outsider --to database-1 --protocol tcp --dst-port 3306`]: {
    exit: [3],
    prints: /is no member of group "web"/,
  },
  [`portcullis explain -t ${EXAMPLE} \\\n    --from any --to web-1 --protocol tcp,udp --dst-port 1-1023`]: {
    exit: [3],
    prints: /tcp 80/,
  },
  'portcullis baseline --dry-run --device-prefix tap --device-prefix vnet': { prints: /"vnet\*"/ },
};

/** They need root and a host of their own; the life of one, with an API and agents beside it. */
export const ON_A_HOST: Examples = {
  // A store, and the API that serves it: it knows which hosts there are 20 s later.
  'portcullis import --store /var/lib/portcullis/store -t examples/neutron-dump': {},
  'portcullis export --store /var/lib/portcullis/store > topology.json': {},
  'portcullis backup --store /var/lib/portcullis/store backup.json': {},
  'portcullis restore --store /var/lib/portcullis/store --replace backup.json': {},
  'openssl rand -hex 16 | tee password | portcullis api hash-password': { prints: /^scrypt/ },
  'portcullis api --store /var/lib/portcullis/store': { stays: /"id":"api-listens"/ },
  'portcullis export --api http://127.0.0.1:9696 | portcullis check -': {},
  'portcullis explain --api http://127.0.0.1:9696 --from 192.0.2.1 --to any --protocol any': { exit: [3] },
  'mkdir topology': {},
  [`for kind in networks subnets security-groups address-groups ports; do
  curl -fsS -H "X-Auth-Token: $TOKEN" "$NEUTRON/v2.0/$kind" > "topology/$kind.json"
done`]: {},
  'portcullis check topology': {},
  'openstack --os-auth-type none --os-endpoint http://127.0.0.1:9696 security group list': { prints: / web / },

  // The README's picture, and its first host up to the daemon.
  'npm start': { prints: readmePicture() },
  'portcullis baseline': {},
  [`portcullis compile --dry-run -t ${EXAMPLE} | nft --check -f -`]: {},
  [`portcullis diff -t ${EXAMPLE} --host compute-1`]: { exit: [2], prints: /^Plan: /m },
  [`portcullis compile -t ${EXAMPLE} --host compute-1 --confirm 30`]: { typed: 'yes', prints: /^loaded$/m },
  'portcullis completion bash > /etc/bash_completion.d/portcullis': {},
  'portcullis completion zsh > /usr/local/share/zsh/site-functions/_portcullis': {},
  'portcullis completion fish > /etc/fish/completions/portcullis.fish': {},

  // An agent that follows the API, which has nothing for a host that another topology was loaded on.
  'portcullis agent --source api:http://127.0.0.1:9696 --host compute-1': {
    stays: /"id":"source-stale".*portcullis accept/,
  },
  'portcullis accept': {},
  'portcullis wait --latest': { prints: /in force on 1 host/ },
  'openstack security group rule create --protocol tcp --dst-port 8443 web && portcullis wait --latest': {
    prints: /in force on 1 host/,
  },
  'portcullis hosts': { prints: /^compute-1 +in force/m },

  // An agent that follows a file; nothing else is at work then.
  [`portcullis agent --source file:${EXAMPLE} --host compute-1`]: { stays: /"id":"applied"/, isAlone: true },
  'portcullis status': { prints: /^enforced/ },
  'portcullis status --health': { prints: /^enforced$/m },
  'portcullis stats': { prints: /^counted since / },
  'portcullis stats --watch': { shows: /counted within / },
  [`portcullis stats --all -t ${EXAMPLE} --host compute-1`]: { prints: /^let through, by rule:$/m },
  'portcullis explain --socket --from web-1 --to database-1 --protocol tcp --dst-port mysql': { prints: /: allowed$/m },
  'portcullis doctor': { exit: WELL_OR_WARNED, prints: /agent/ },
  [`portcullis doctor --json | jq -r '.findings[] | select(.result != "ok") | .mend // .reason'`]: {},
  'portcullis flush': { isAlone: true },
};

/** Why it is not run here, or the test in whose text it stands, word for word. */
export type Elsewhere = { readonly why: string } | { readonly stands: string };

/** They are nowhere run as they stand, or elsewhere. */
export const ELSEWHERE: Readonly<Record<string, Elsewhere>> = {
  'npm test': { why: 'it runs all tests, this one among them' },
  'npm ci && npm run package': {
    why: 'downloads packages; test/container/package.test.ts makes the package by the same script',
  },
  ...Object.fromEntries(
    FIRST_HOST.map(bareCommand)
      .filter((command) => !(command in ON_A_HOST))
      .map((command) => [command, { why: 'test/container/package.test.ts types it' }]),
  ),
  [`portcullis api --store etcd:https://etcd-1:2379,https://etcd-2:2379,https://etcd-3:2379 \\
    --etcd-ca ca.pem --etcd-cert api.pem --etcd-key api-key.pem`]: {
    why: 'three machines of these names; test/container/deploy.test.ts has an API with these options',
  },
  [`portcullis hosts enrol compute-1 --store etcd:https://etcd-1:2379,https://etcd-2:2379 \\
    --etcd-ca ca.pem --etcd-cert root.pem --etcd-key root-key.pem`]: {
    why: 'machines of these names; test/container/deploy.test.ts enrols hosts with these options',
  },
  'portcullis import --store /var/lib/portcullis/store --os-cloud production': {
    why: 'a Neutron and a Keystone; `npm run conformance -- --suite import` has both',
  },
};

/** What the pages show that nobody types: how it begins, and the test that holds its form, in whose text those words stand. */
export const OUTPUTS: Readonly<Record<string, { readonly words: string; readonly test: string }>> = {
  'counted since ': { words: 'let through, by rule:', test: 'test/unit/cli/stats.test.ts' },
  'who would be dropped': {
    words: 'who would be dropped, from whom to which port:',
    test: 'test/unit/cli/stats.test.ts',
  },
  '~ group web: rule ': { words: ' live flows would be cut', test: 'test/unit/cli/plan.test.ts' },
  'error: ': { words: 'error: /etc/portcullis/portcullis.yaml', test: 'test/unit/cli/configuration.test.ts' },
};

const READER: Elsewhere = { why: 'the name of what reads a text' };

/** Words of the manual's prose that are no command of ours and could be taken for one. */
export const IN_PROSE: Readonly<Record<string, Elsewhere>> = {
  'cannot tell': { why: 'a word of the doctor' },
  'ip link set dev X alias port:ID': { why: 'X and ID stand for something' },
  'group c0b92b20… → group web': { why: 'a line of a plan' },
  'ip6tables-restore --noflush': READER,
  'ipset restore': READER,
  'ipset save': { why: 'the name of what is read' },
  'iptables-restore --noflush': READER,
  'nft -f -': READER,
  'nft --check': { why: 'the name of what the doctor does' },
  'etcdctl user delete HOST': { why: 'HOST stands for something; test/container/deploy.test.ts does it' },
  'journalctl -u portcullis-agent -p warning': { why: 'there is no journal without systemd' },
  [`journalctl -u portcullis-agent -o cat | jq 'select(.id == "foreign-change")'`]: {
    why: 'there is no journal without systemd',
  },
  'systemd-analyze security': { why: 'there is no systemd' },
  'systemctl restart portcullis-agent': { stands: 'test/container/package.test.ts' },
  'systemctl stop portcullis-agent': { stands: 'test/container/hosts.test.ts' },
};
