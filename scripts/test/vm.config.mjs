// vitest's configuration in the virtual machine: as vitest.config.ts, of what bundle-vm.mjs makes. Loaded by Node as it stands.
const FOLDER = 'dist/bundled/test/vm';

export default {
  test: {
    include: [`${FOLDER}/*.test.js`],
    exclude: [],
    server: { deps: { external: [/\/dist\/bundled\/test\/vm\/(?!.*\.test\.js)/] } },
    setupFiles: [`${FOLDER}/seed.js`],
    runner: `./${FOLDER}/runner.js`,
    testTimeout: 0,
    hookTimeout: 0,
    isolate: false,
    maxWorkers: 2,
  },
};
