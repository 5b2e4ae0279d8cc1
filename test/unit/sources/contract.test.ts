/** What every source promises, of those that need no server of somebody else's. Of etcd: test/client/etcd-source.test.ts. */
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, onTestFinished } from 'vitest';
import { topologyDocument } from '../../../src/api/topology/lines.js';
import { DatabaseSource } from '../../../src/api/topology/source.js';
import { ApiSource } from '../../../src/sources/api/index.js';
import { FileSource } from '../../../src/sources/file/index.js';
import { TestApi } from '../../support/api.js';
import { CutProxy } from '../../support/cut-proxy.js';
import { remoteSourceContract, sourceContract } from '../../support/source-contract.js';

describe('a file', () => {
  remoteSourceContract(async () => {
    const { database } = await TestApi.open();
    const folder = mkdtempSync(join(tmpdir(), 'portcullis-contract-'));
    onTestFinished(() => {
      rmSync(folder, { recursive: true });
    });
    const [path, next, elsewhere] = [join(folder, 'topology.json'), join(folder, '.next'), join(folder, '.elsewhere')];
    let target = path;
    return {
      database,
      publish: () => {
        writeFileSync(next, JSON.stringify(topologyDocument(database.view)));
        renameSync(next, target);
      },
      source: () => new FileSource(path),
      leave: () => {
        renameSync(path, elsewhere);
        target = elsewhere;
      },
      comeBack: () => {
        renameSync(elsewhere, path);
        target = path;
      },
    };
  });
});

describe('the API in the same process', () => {
  sourceContract(async () => {
    const { database, hosts } = await TestApi.open();
    return { database, publish: () => undefined, source: () => new DatabaseSource(database, hosts) };
  });
});

describe('the API over HTTP', () => {
  remoteSourceContract(async () => {
    const { app, database } = await TestApi.open();
    const proxy = await CutProxy.start(await app.listen({ host: '127.0.0.1', port: 0 }));
    onTestFinished(async () => proxy.end());
    return {
      database,
      publish: () => undefined,
      source: () => new ApiSource(`http://127.0.0.1:${proxy.port.toString()}`, undefined),
      leave: async () => proxy.refuse(),
      comeBack: async () => proxy.accept(),
    };
  });
});
