/** Imports point down only: src/cli -> src/api, agent -> src/sources, compiler -> src/model; src/system is the operating system's, and the log. */
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
    only('model-imports-nothing-of-ours', '^src/model/', '^src/model/', 'the model is the lowest layer'),
    only('compiler-imports-model', '^compiler/', '^(compiler|src/model)/', 'the compiler is a library of its own'),
    only('system-imports-nothing-of-ours', '^src/system/', '^src/system/', 'the operating system knows nothing of us'),
    only(
      'api-imports-sources',
      '^src/api/',
      '^src/(api|sources|model|system|etcd|openstack)/',
      'the API knows no command line and no kernel',
    ),
    only('etcd-imports-nothing-of-ours', '^src/etcd/', '^src/etcd/', 'the client of etcd knows nothing of us'),
    only(
      'openstack-imports-nothing-of-ours',
      '^src/openstack/',
      '^src/openstack/',
      'the client of OpenStack knows nothing of us',
    ),
    only('sources-import-model', '^src/sources/', '^src/(sources|model|etcd|openstack)/', 'sources read'),
    only(
      'agent-imports-compiler',
      '^agent/',
      '^(agent|compiler|src/model|src/sources|src/system)/',
      'the agent knows no command line',
    ),
    only('cli-is-not-tested-code', '^src/cli/', '^(src|compiler|agent)/', 'nothing imports tests'),
    {
      name: 'compiler-does-no-io',
      severity: 'error',
      from: { path: '^compiler/' },
      to: { dependencyTypes: ['core'], pathNot: '^(node:)?crypto$' },
    },
    {
      name: 'oracle-is-independent',
      comment: 'the oracle and the compiled ruleset are compared; they share no code beyond the model',
      severity: 'error',
      from: { path: '^compiler/explain/' },
      to: { path: '^compiler/', pathNot: '^compiler/explain/' },
    },
    {
      name: 'ruleset-does-not-use-the-oracle',
      severity: 'error',
      from: { path: '^compiler/(ruleset|nftables)/' },
      to: { path: '^compiler/explain/' },
    },
  ],
  options: {
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    doNotFollow: { path: 'node_modules' },
  },
};
