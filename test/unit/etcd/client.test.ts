/** What a client of etcd asks of others than etcd. */
import dns from 'node:dns';
import { expect, it, onTestFinished, vi } from 'vitest';
import { parseEtcdAddress } from '../../../src/etcd/address.js';
import { EtcdClient } from '../../../src/etcd/client.js';

it('a member’s name is looked up as an address, and no settings are asked of the name service', async () => {
  const settings = vi.spyOn(dns.promises, 'resolveTxt').mockResolvedValue([]);
  onTestFinished(() => {
    settings.mockRestore();
  });
  // Nobody listens there.
  const client = new EtcdClient(parseEtcdAddress('etcd:http://localhost:1'), {});
  onTestFinished(() => {
    client.close();
  });
  await expect(client.range({ key: Buffer.from('x') })).rejects.toMatchObject({ failure: 'unreachable' });
  expect(settings).not.toHaveBeenCalled();
});
