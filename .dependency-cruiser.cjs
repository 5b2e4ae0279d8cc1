/**
 * Three floors, imports down only: src (command line, API, sources) -> agent -> compiler. Inside a floor, too: each folder and file stands
 * on a step, and imports from its own and those below.
 */
const COMPILER = [
  'model',
  'semantics|datapath|number-range|names',
  'explain|options|prefixes|intervals|zones',
  'permits|host-policy',
  'ruleset',
  'nftables|baseline|summary',
  'iptables|incremental|listing|text',
  'legend',
  'index',
];
const AGENT = [
  'backoff|binder|clock|doubt|log|programs|own-commits|gate|former|garbage|isolate|counting-since|single-flight',
  'netlink',
  'closing',
  'kernel',
  'backends|flows|watch|service-manager',
  'commits|devices|drop-totals|events|ground|lateness|status|metrics',
  'closings|live-topology|pending',
  'desired|quarantine|reconciliation',
  'bringing',
  'enforcer|following|gauges|lines|server|isolated-objects|mark-watch|reporter|settings|tally',
  'account',
  'agent',
  'index',
];

const at = (floor, step) => `^${floor}/(${step})(/|[.]ts$)`;
const inOrder = (floor, steps) => [
  ...steps.slice(0, -1).map((step, index) => ({
    name: `${floor}-imports-down`,
    severity: 'error',
    from: { path: at(floor, step) },
    to: { path: at(floor, steps.slice(index + 1).join('|')) },
  })),
  {
    name: `${floor}-has-a-step-for-each`,
    comment: 'a folder or file that stands on no step: add it to its list in .dependency-cruiser.cjs',
    severity: 'error',
    from: {},
    to: { path: `^${floor}/`, pathNot: at(floor, steps.join('|')) },
  },
];

const only = (name, from, allowed, comment) => ({
  name,
  comment,
  severity: 'error',
  from: { path: from },
  to: { path: '^(src|compiler|agent|test|bench)/', pathNot: allowed },
});

module.exports = {
  forbidden: [
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    ...inOrder('compiler', COMPILER),
    ...inOrder('agent', AGENT),
    only('compiler-is-the-ground', '^compiler/', '^compiler/', 'the compiler is a library of its own'),
    only('agent-imports-compiler', '^agent/', '^(agent|compiler)/', 'the agent knows no command line and no source'),
    {
      name: 'no-deep-imports',
      comment: 'what is inside of a folder is its own: ask its index',
      severity: 'error',
      from: { path: '^(src|agent)/' },
      to: {
        path: '^compiler/[^/]+/',
        pathNot: '^compiler/(model/([^/]+|parse/index)|semantics/index|explain/index)[.]ts$',
      },
    },
    only(
      'system-imports-nothing-of-ours',
      '^src/system/',
      '^(src/system/|agent/log[.]ts$)',
      'it knows nothing of us but lines of a log',
    ),
    only(
      'api-imports-sources',
      '^src/api/',
      '^(src/(api|sources|system|etcd|openstack)/|compiler/model/|agent/(log|backoff|clock|single-flight)[.]ts$)',
      'the API knows no command line and no kernel',
    ),
    only('etcd-imports-nothing-of-ours', '^src/etcd/', '^src/etcd/', 'the client of etcd knows nothing of us'),
    only(
      'openstack-imports-nothing-of-ours',
      '^src/openstack/',
      '^src/openstack/',
      'the client of OpenStack knows nothing of us',
    ),
    only(
      'sources-import-model',
      '^src/sources/',
      '^(src/(sources|etcd|openstack)/|compiler/model/|agent/(backoff|clock)[.]ts$)',
      'sources read, again and again',
    ),
    only('cli-is-not-tested-code', '^src/cli/', '^(src|compiler|agent)/', 'nothing imports tests'),
    {
      name: 'compiler-does-no-io',
      severity: 'error',
      from: { path: '^compiler/' },
      to: { dependencyTypes: ['core'], pathNot: '^(node:)?(crypto|util)$' },
    },
    {
      name: 'oracle-is-independent',
      comment: 'the oracle and the compiled ruleset are compared; they share no code beyond the model',
      severity: 'error',
      from: { path: '^compiler/(explain|semantics)/' },
      to: { path: '^compiler/', pathNot: '^compiler/(explain|semantics|model)/' },
    },
    {
      name: 'ruleset-does-not-use-the-oracle',
      severity: 'error',
      from: { path: '^compiler/(ruleset|nftables|iptables|incremental)/' },
      to: { path: '^compiler/(explain|semantics)/' },
    },
  ],
  options: {
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    doNotFollow: { path: 'node_modules' },
  },
};
