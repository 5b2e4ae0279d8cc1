/** What hosts say of themselves, and who is told. */
import { describe, expect, it } from 'vitest';
import { Hosts } from '../../../src/api/topology/hosts.js';
import type { HostReport } from '../../../compiler/model/index.js';
import { TestApi } from '../../support/api.js';

const REPORT: HostReport = {
  version: '0.1.0',
  revision: 1,
  enforced: true,
  trouble: null,
  ports: 3,
  refused: [],
  isolated: 0,
  drift: 0,
};
const AGENT = { token: 'the-token-of-agents' };
const PATH = '/portcullis/v1/hosts';

describe('over HTTP', () => {
  it('a host is listed as it says it is, until it is taken away', async () => {
    const api = await TestApi.open();
    expect((await api.call('PUT', `${PATH}/compute-1`, REPORT, AGENT)).status).toBe(204);
    expect((await api.call('PUT', `${PATH}/compute-1`, { ...REPORT, ports: 4 }, AGENT)).status).toBe(204);
    const listed = (await api.get(PATH, AGENT)).body;
    expect(listed).toMatchObject({
      revision: api.database.revision,
      hosts: [{ host: 'compute-1', ports: 4, alive: true, heard_seconds_ago: 0 }],
    });
    expect((await api.call('DELETE', `${PATH}/compute-1`)).status).toBe(204);
    expect((await api.call('DELETE', `${PATH}/compute-1`)).status).toBe(404);
    expect((await api.get(PATH)).body).toMatchObject({ hosts: [] });
  });

  it('only administrators and agents ask and tell, and only administrators take away', async () => {
    const api = await TestApi.open();
    const member = { project: 'a', roles: 'member' };
    expect((await api.get(PATH, member)).status).toBe(403);
    expect((await api.call('PUT', `${PATH}/compute-1`, REPORT, member)).status).toBe(403);
    expect((await api.call('DELETE', `${PATH}/compute-1`, undefined, AGENT)).status).toBe(403);
  });

  it.each([
    ['x y', REPORT],
    ['..', REPORT],
    ['a'.repeat(300), REPORT],
    ['compute-1', { ...REPORT, revision: -1 }],
    ['compute-1', { ...REPORT, revision: 1.5 }],
    ['compute-1', { ...REPORT, trouble: 'x'.repeat(1001) }],
    ['compute-1', []],
  ])('refused: %s', async (host, report) => {
    const api = await TestApi.open();
    const { status } = await api.call('PUT', `${PATH}/${encodeURIComponent(host)}`, report, AGENT);
    expect([400, 404]).toContain(status);
    expect((await api.get(PATH)).body).toMatchObject({ hosts: [] });
  });

  it('every answer says how far the API is', async () => {
    const api = await TestApi.open();
    const before = Number((await api.get('/security-groups')).headers['x-portcullis-revision']);
    const { headers } = await api.call('POST', '/security-groups', { security_group: { name: 'x' } });
    expect(Number(headers['x-portcullis-revision'])).toBeGreaterThan(before);
    expect(Number(headers['x-portcullis-revision'])).toBe(api.database.revision);
  });
});

describe('who is alive, and who is behind', () => {
  it('silence is noticed, and so is since when a host is behind', () => {
    let [now, newest] = [0, 1];
    const hosts = new Hosts(
      () => newest,
      undefined,
      () => now,
    );
    hosts.take('one', REPORT);
    expect(hosts.list()).toMatchObject([{ alive: true, behind_seconds: null }]);
    newest = 2;
    now = 10_000;
    hosts.take('one', REPORT);
    now = 20_000;
    expect(hosts.list()).toMatchObject([{ alive: true, behind_seconds: 10, heard_seconds_ago: 10 }]);
    now = 40_001;
    expect(hosts.list()).toMatchObject([{ alive: false }]);
    hosts.take('one', { ...REPORT, revision: 2 });
    expect(hosts.list()).toMatchObject([{ alive: true, behind_seconds: null }]);
    hosts.take('one', { ...REPORT, revision: null });
    expect(hosts.list()).toMatchObject([{ behind_seconds: 0 }]);
    now += 25 * 3_600_000;
    expect(hosts.list()).toEqual([]);
  });

  it('who could hear nobody for a while, stopped or cut off, listens anew: of hosts that are not heard again yet nothing is known', () => {
    let now = 0;
    const hosts = new Hosts(
      () => 1,
      undefined,
      () => now,
    );
    const says = (...names: readonly string[]): void => {
      for (const name of names) hosts.take(name, REPORT);
    };
    says('one', 'other');
    for (now = 10_000; now <= 50_000; now += 10_000) says('one', 'other');
    now = 55_000;
    expect(hosts.listeningSeconds).toBe(55);
    // An hour later one of them is the first to speak again.
    now += 3_600_000;
    says('one');
    expect(hosts.list()).toMatchObject([{ alive: true }, { alive: false }]);
    expect(hosts.listeningSeconds).toBe(0);
    now += 8000;
    says('other');
    now += 12_000;
    expect(hosts.listeningSeconds).toBe(20);
  });

  it('there is an end to how many are remembered', () => {
    const hosts = new Hosts(() => 1);
    for (let index = 0; index < 100_000; index++) expect(hosts.take(`h${index}`, REPORT)).toBe(true);
    expect(hosts.take('one-more', REPORT)).toBe(false);
    expect(hosts.take('h5', REPORT)).toBe(true);
  });
});
