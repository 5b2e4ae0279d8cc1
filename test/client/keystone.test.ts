/** The API behind a real Keystone: who gets in, with what, and what he may. With the stock client, and with requests as they are. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { lastLines, until, within } from '../support/waiting.js';
import { keystoneObstacle, RealKeystone } from './real-keystone.js';
import { WarmClient, type Answer } from './warm-client.js';

const MAIN = 'dist/bin/portcullis.js';
/** How long the API of these tests believes what Keystone said; in seconds. */
const CACHE_SECONDS = '1';
const DOMAIN = { id: 'default' };
const AROUND = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('OS_')));

let folder: string;
let keystone: RealKeystone;
let client: WarmClient;
let api: ChildProcess | undefined;
let apiUrl = '';
let output = '';
const said = (): string => `${lastLines(output)}\nKeystone said last:\n${keystone.said()}`;

/** Ids of what Keystone was told. */
const ids = { demo: '', other: '', closing: '' };
const users = { member: '', reader: '', leaving: '', service: '' };
/** Of a member, from a clock that was a day and an hour behind: it has ended an hour ago. */
let expired = '';
/** Of the service, from then. */
let expiredService = '';

async function startApi(): Promise<void> {
  const store = ['--store', join(folder, 'store'), '--listen', '127.0.0.1:0'];
  const auth = ['--auth', `keystone:${keystone.url}`, '--token-cache', CACHE_SECONDS];
  const child = spawn(process.execPath, [MAIN, 'api', ...store, ...auth], { stdio: ['ignore', 'ignore', 'pipe'] });
  api = child;
  const ready = new Promise<string>((resolve, reject) => {
    child.stderr.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      const address = /"address":"(http[^"]+)"/.exec(output)?.[1];
      if (address !== undefined) resolve(address);
    });
    child.once('close', (code) => reject(new Error(`the API ended with ${String(code)}:\n${output}`)));
  });
  apiUrl = await within('the API to listen', ready, said);
}

const inProject = (name: string): object => ({ project: { name, domain: DOMAIN } });
const admin = async (): Promise<string> => keystone.token({ user: 'admin', scope: { ...inProject('admin') } });
const member = async (project = 'demo'): Promise<string> =>
  keystone.token({ user: 'member', scope: { ...inProject(project) } });

interface Heard {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

async function ask(method: string, path: string, headers: Record<string, string>, body?: object): Promise<Heard> {
  const response = await fetch(`${apiUrl}${path}`, {
    method,
    headers: { ...headers, 'Content-Type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: response.status, headers: response.headers, text: await response.text() };
}

const list = async (token: string, more: Record<string, string> = {}): Promise<Heard> =>
  ask('GET', '/v2.0/security-groups', { 'X-Auth-Token': token, ...more });

const untilStatus = async (what: string, token: string, status: number): Promise<void> => {
  await until({
    what,
    probe: async () => (await list(token)).status,
    check: (answer) => expect(answer).toBe(status),
    said,
  });
};

/** The environment of somebody who logs in with a password. */
const login = (user: string, more: Readonly<Record<string, string>>): Readonly<Record<string, string>> => ({
  OS_AUTH_URL: keystone.url,
  OS_IDENTITY_API_VERSION: '3',
  OS_USERNAME: user,
  OS_PASSWORD: 'secret',
  OS_USER_DOMAIN_ID: 'default',
  OS_REGION_NAME: 'RegionOne',
  ...more,
});
const DEMO = { OS_PROJECT_NAME: 'demo', OS_PROJECT_DOMAIN_ID: 'default' };

async function openstack(line: string, env: Readonly<Record<string, string>>): Promise<Answer> {
  return client.run(`openstack ${line}`, { ...AROUND, ...env });
}

/** Users and projects, the service's own among them; tokens that will have ended when the clock is right. */
async function populate(): Promise<void> {
  const token = await admin();
  for (const name of ['demo', 'other', 'closing'] as const) ids[name] = await keystone.make('project', { name }, token);
  const services = await keystone.make('project', { name: 'service' }, token);
  for (const name of ['member', 'reader', 'leaving', 'service'] as const)
    users[name] = await keystone.make('user', { name, password: 'secret' }, token);
  const roles = new Map<string, string>();
  const known = (await (await keystone.must('GET', '/roles', token)).json()) as {
    readonly roles: readonly { readonly id: string; readonly name: string }[];
  };
  for (const { id, name } of known.roles) roles.set(name, id);
  if (!roles.has('service')) roles.set('service', await keystone.make('role', { name: 'service' }, token));
  const grant = async (on: string, user: string, role: string): Promise<void> => {
    await keystone.must('PUT', `/${on}/users/${user}/roles/${roles.get(role) ?? role}`, token);
  };
  for (const project of [ids.demo, ids.other, ids.closing]) await grant(`projects/${project}`, users.member, 'member');
  await grant(`projects/${ids.demo}`, users.reader, 'reader');
  await grant(`projects/${ids.demo}`, users.leaving, 'member');
  await grant(`projects/${services}`, users.service, 'service');
  await grant('domains/default', users.member, 'member');
  expired = await member();
  expiredService = await keystone.token({ user: 'service', scope: { ...inProject('service') } });
}

const why = keystoneObstacle();
describe.skipIf(why !== undefined)(`a real Keystone${why === undefined ? '' : ` (not run: ${why})`}`, () => {
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'portcullis-keystone-'));
    keystone = new RealKeystone(join(folder, 'keystone'));
    client = new WarmClient(undefined, said);
    // For it, yesterday: what it gives away now has ended when its clock is right.
    await keystone.start('-25h');
    await populate();
    await startApi();
  }, 0);
  afterAll(async () => {
    client.end();
    api?.kill('SIGKILL');
    await keystone.end();
    rmSync(folder, { recursive: true });
  }, 0);

  it('one that cannot be reached is a 503, and nobody’s fault; when it is back everybody gets in', async () => {
    expect((await list(expired)).status, 'a token that has ended, of a Keystone whose clock is behind').toBe(401);
    await keystone.end();
    const down = await list('a token that is not known');
    expect([down.status, down.headers.get('www-authenticate')]).toEqual([503, null]);
    const typed = await openstack('security group list', {
      OS_AUTH_TYPE: 'admin_token',
      OS_TOKEN: 'x',
      OS_ENDPOINT: apiUrl,
    });
    expect(typed.exit).toBe(1);
    expect(typed.err).toContain('503');
    await keystone.start();
    await keystone.register('network', apiUrl, await admin());
    await keystone.register('compute', `${apiUrl}/compute/v2.1`, await admin());
    await keystone.register('image', `${apiUrl}/image`, await admin());
    expect((await list(await member())).status).toBe(200);
  });

  it('who is not known is told which Keystone to ask', async () => {
    for (const token of ['', 'nonsense', `gAAAA${'x'.repeat(180)}`]) {
      const { status, headers } = await list(token);
      expect([status, headers.get('www-authenticate')]).toEqual([401, `Keystone uri="${keystone.url.slice(0, -3)}"`]);
    }
  });

  it('a password: what the client makes is the project’s, as Keystone numbers it', async () => {
    const made = await openstack('security group create web -f value -c project_id', login('member', DEMO));
    expect(made, said()).toEqual({ exit: 0, out: `${ids.demo}\n`, err: '' });
    expect(await openstack('server list', login('member', DEMO)), said()).toEqual({ exit: 0, out: '\n', err: '' });
    const other = await openstack(
      'security group list -f value -c Name',
      login('member', { ...DEMO, OS_PROJECT_NAME: 'other' }),
    );
    expect(other).toEqual({ exit: 0, out: 'default\n', err: '' });
    const all = await openstack(
      'security group list -f value -c Name -c Project',
      login('admin', { ...DEMO, OS_PROJECT_NAME: 'admin' }),
    );
    expect(all.out).toContain(`web ${ids.demo}\n`);
  });

  it('a reader reads, and changes nothing', async () => {
    expect((await openstack('security group list', login('reader', DEMO))).exit, said()).toBe(0);
    const refused = await openstack('security group create mine', login('reader', DEMO));
    expect([refused.exit, refused.err]).toEqual([1, expect.stringContaining('403') as string]);
  });

  it('a token of a system or a domain is understood and has nothing here; one of nothing is none', async () => {
    for (const [user, scope, env] of [
      ['admin', { system: { all: true } }, { OS_SYSTEM_SCOPE: 'all' }],
      ['member', { domain: DOMAIN }, { OS_DOMAIN_ID: 'default' }],
    ] as const) {
      const { status, text } = await list(await keystone.token({ user, scope }));
      expect(status, text).toBe(403);
      expect(text).toContain(`The token is of a ${Object.keys(scope)[0] ?? ''}: valid is one of a project`);
      const typed = await openstack('security group list', login(user, env));
      expect([typed.exit, typed.err], said()).toEqual([
        1,
        expect.stringContaining('valid is one of a project') as string,
      ]);
    }
    expect((await list(await keystone.token({ user: 'member' }))).status).toBe(401);
  });

  it('an application credential is its user, with the roles that it was given; one for some requests only is refused', async () => {
    const token = await member();
    const make = async (fields: object): Promise<{ readonly id: string; readonly secret: string }> => {
      const path = `/users/${users.member}/application_credentials`;
      const response = await keystone.must('POST', path, token, {
        application_credential: { secret: 's3cret', ...fields },
      });
      return ((await response.json()) as { application_credential: { id: string; secret: string } })
        .application_credential;
    };
    const given = await make({ name: 'whole' });
    const env = {
      OS_AUTH_TYPE: 'v3applicationcredential',
      OS_AUTH_URL: keystone.url,
      OS_APPLICATION_CREDENTIAL_ID: given.id,
      OS_APPLICATION_CREDENTIAL_SECRET: given.secret,
      OS_REGION_NAME: 'RegionOne',
    };
    const made = await openstack('security group create by-credential -f value -c project_id', env);
    expect(made, said()).toEqual({ exit: 0, out: `${ids.demo}\n`, err: '' });
    const reading = await make({ name: 'reading', roles: [{ name: 'reader' }] });
    const refused = await openstack('security group create mine', {
      ...env,
      OS_APPLICATION_CREDENTIAL_ID: reading.id,
    });
    expect([refused.exit, refused.err]).toEqual([1, expect.stringContaining('403') as string]);
    const rules = [{ method: 'GET', path: '/v2.0/networks', service: 'network' }];
    const limited = await make({ name: 'limited', access_rules: rules });
    const limitedToken = await keystone.tokenFor({
      identity: { methods: ['application_credential'], application_credential: { id: limited.id, secret: 's3cret' } },
    });
    expect((await list(limitedToken)).status).toBe(401);
    const credential = `/users/${users.member}/application_credentials/${given.id}`;
    const live = await keystone.tokenFor({
      identity: { methods: ['application_credential'], application_credential: { id: given.id, secret: 's3cret' } },
    });
    expect((await list(live)).status).toBe(200);
    await keystone.must('DELETE', credential, token);
    await untilStatus('a token of a credential that is gone to be refused', live, 401);
  });

  it('import logs in as clouds.yaml says, and finds the network service in the catalog', async () => {
    const auth = { auth_url: keystone.url, username: 'admin', password: 'secret', project_name: 'admin' };
    const domains = { user_domain_id: 'default', project_domain_id: 'default' };
    const clouds = { real: { region_name: 'RegionOne', auth: { ...auth, ...domains } } };
    // JSON is YAML.
    writeFileSync(join(folder, 'clouds.yaml'), JSON.stringify({ clouds }), { mode: 0o600 });
    const env = { ...AROUND, OS_CLIENT_CONFIG_FILE: join(folder, 'clouds.yaml') };
    const into = ['--store', join(folder, 'imported')];
    const run = async (...args: readonly string[]): Promise<string> =>
      (await execa(process.execPath, [MAIN, ...args], { extendEnv: false, env })).stdout;
    await run('import', '--os-cloud', 'real', ...into);
    const exported = JSON.parse(await run('export', ...into)) as {
      readonly security_groups: readonly { readonly name: string; readonly project_id: string }[];
    };
    expect(exported.security_groups).toContainEqual(expect.objectContaining({ name: 'web', project_id: ids.demo }));
  });

  it('a token that was revoked, or whose user or project was disabled, is refused when what was remembered of it has gone', async () => {
    const revoked = await member();
    const leaving = await keystone.token({ user: 'leaving', scope: { ...inProject('demo') } });
    const closing = await member('closing');
    for (const token of [revoked, leaving, closing]) expect((await list(token)).status).toBe(200);
    const boss = await admin();
    await keystone.must('DELETE', '/auth/tokens', revoked, undefined, { 'X-Subject-Token': revoked });
    await keystone.must('PATCH', `/users/${users.leaving}`, boss, { user: { enabled: false } });
    await keystone.must('PATCH', `/projects/${ids.closing}`, boss, { project: { enabled: false } });
    await untilStatus('a revoked token to be refused', revoked, 401);
    await untilStatus('a token of a disabled user to be refused', leaving, 401);
    await untilStatus('a token of a disabled project to be refused', closing, 401);
    expect((await list(boss)).status).toBe(200);
  });

  it('a token that has ended counts where a service vouches for it, and nowhere else', async () => {
    expect((await list(expired)).status).toBe(401);
    const service = await keystone.token({ user: 'service', scope: { ...inProject('service') } });
    const vouched = await list(expired, { 'X-Service-Token': service });
    expect(vouched.status, vouched.text).toBe(200);
    expect(vouched.text).toContain(ids.demo);
    // What was remembered with the service's word is nothing for the token alone.
    expect((await list(expired)).status).toBe(401);
    const live = await member();
    for (const [what, token, voucher, status] of [
      ['a member vouches for an ended token', expired, live, 401],
      ['an ended service vouches for an ended token', expired, expiredService, 401],
      ['nonsense vouches for an ended token', expired, 'nonsense', 401],
      ['nonsense beside a good token', live, 'nonsense', 401],
      ['an ended service beside a good token', live, expiredService, 401],
      ['a member beside a good token', live, await member('other'), 200],
      ['a service beside a good token', live, service, 200],
      ['a service beside nonsense', 'nonsense', service, 401],
    ] as const) {
      expect((await list(token, { 'X-Service-Token': voucher })).status, what).toBe(status);
    }
    // The service itself is nobody's user here: its own project is another one.
    expect((await list(service)).text).not.toContain(ids.demo);
  });
});
