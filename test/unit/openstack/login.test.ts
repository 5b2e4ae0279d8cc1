/** What `clouds.yaml` and the `OS_*` variables say, as keystone's API has it. That a real one takes it: npm run conformance. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import {
  cloudNamed,
  cloudOfEnvironment,
  credentialsOf,
  LoginError,
  logIn,
  theCloud,
} from '../../../src/openstack/login.js';

const folder = mkdtempSync(join(tmpdir(), 'portcullis-login-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const file = (name: string, content: string): string => {
  writeFileSync(join(folder, name), content, { mode: 0o600 });
  return join(folder, name);
};
const CLOUDS = file(
  'clouds.yaml',
  `clouds:
  one:
    region_name: R
    interface: internal
    auth: { auth_url: "http://k:5000/v3/", username: ann, project_name: 1234, user_domain_name: Users, project_domain_id: pd }
  two:
    auth_type: v3applicationcredential
    auth: { auth_url: "http://k:5000", application_credential_id: i, application_credential_secret: s }
`,
);
const SECURE = file('secure.yaml', 'clouds: { one: { auth: { password: hidden } } }\n');
const env = { OS_CLIENT_CONFIG_FILE: CLOUDS, OS_CLIENT_SECURE_FILE: SECURE };
const ONE = {
  identityUrl: 'http://k:5000',
  region: 'R',
  side: 'internal',
  auth: {
    identity: {
      methods: ['password'],
      password: { user: { name: 'ann', domain: { name: 'Users' }, password: 'hidden' } },
    },
    scope: { project: { name: '1234', domain: { id: 'pd' } } },
  },
};

it('a cloud by name; what secure.yaml says is laid over it', () => {
  expect(cloudNamed('one', env)).toEqual(ONE);
  expect(cloudOfEnvironment({ ...env, OS_CLOUD: 'one' })).toEqual(ONE);
});

it('an application credential has no scope of its own', () => {
  expect(cloudNamed('two', env).auth).toEqual({
    identity: { methods: ['application_credential'], application_credential: { id: 'i', secret: 's' } },
  });
});

it('variables', () => {
  const given = {
    OS_AUTH_URL: 'http://k/identity',
    OS_USERNAME: 'u',
    OS_PASSWORD: 'p',
    OS_PROJECT_ID: 'x',
    OS_CLOUD: '',
  };
  expect(cloudOfEnvironment(given)).toEqual({
    identityUrl: 'http://k/identity',
    region: undefined,
    side: 'public',
    auth: {
      identity: { methods: ['password'], password: { user: { name: 'u', domain: { id: 'default' }, password: 'p' } } },
      scope: { project: { id: 'x' } },
    },
  });
});

describe('scopes', () => {
  it.each<[object, object]>([
    [{ system_scope: 'all', project_name: 'x' }, { scope: { system: { all: true } } }],
    [{ domain_id: 'd' }, { scope: { domain: { id: 'd' } } }],
    [{ domain_name: 'd' }, { scope: { domain: { name: 'd' } } }],
    [{ tenant_name: 'x' }, { scope: { project: { name: 'x', domain: { id: 'default' } } } }],
    [{}, {}],
  ])('%j', (fields, expected) => {
    const { identity, ...rest } = credentialsOf(
      { auth_type: 'token', auth: { auth_url: 'http://k', token: 't', ...fields } },
      '',
    ).auth;
    expect([identity, rest]).toEqual([{ methods: ['token'], token: { id: 't' } }, expected]);
  });
});

it.each<[string, () => unknown, RegExp]>([
  ['a cloud that is not there', () => cloudNamed('three', env), /no cloud "three": valid is one, two/],
  [
    'no password',
    () => cloudNamed('one', { OS_CLIENT_CONFIG_FILE: CLOUDS, OS_CLIENT_SECURE_FILE: CLOUDS }),
    /one: password: missing/,
  ],
  ['no file', () => cloudNamed('one', { OS_CLIENT_CONFIG_FILE: join(folder, 'none') }), /none: ENOENT/],
  ['no identity service', () => cloudOfEnvironment({ OS_USERNAME: 'u' }), /OS_\* variables: auth_url: missing/],
  ['no URL', () => cloudOfEnvironment({ OS_AUTH_URL: 'controller' }), /auth_url: "controller" is no URL/],
  [
    'another kind',
    () => cloudOfEnvironment({ OS_AUTH_URL: 'http://k', OS_AUTH_TYPE: 'v3oidc' }),
    /auth_type: v3oidc: valid is/,
  ],
])('%s is one line that says what would be valid', (_what, work, message) => {
  expect(work).toThrow(LoginError);
  expect(work).toThrow(message);
});

it('an identity service that is not there is one line with its address', async () => {
  await expect(
    logIn(credentialsOf({ auth: { auth_url: 'http://127.0.0.1:1', token: 't' }, auth_type: 'token' }, '')),
  ).rejects.toThrow(/^http:\/\/127\.0\.0\.1:1\/v3\/auth\/tokens: /);
});

describe('the cloud of a daemon', () => {
  const only = (): string =>
    file('only.yaml', 'clouds: { one: { auth: { auth_url: "http://k", username: u, password: p } } }\n');

  it('is the only one that there is, or the one that is named', () => {
    expect(theCloud({ OS_CLIENT_CONFIG_FILE: only() }).identityUrl).toBe('http://k');
    expect(theCloud({ ...env, OS_CLOUD: 'one' })).toEqual(ONE);
  });

  it.each<[string, () => Record<string, string>, RegExp]>([
    ['several', () => ({ ...env }), /OS_CLOUD is not set: valid is one of one, two/],
    ['none', () => ({ OS_CLIENT_CONFIG_FILE: file('none.yaml', 'clouds: {}\n') }), /no cloud in it/],
    ['one that is not there', () => ({ OS_CLIENT_CONFIG_FILE: only(), OS_CLOUD: 'x' }), /no cloud "x": valid is one/],
  ])('%s is one line that says what would be valid', (_what, given, message) => {
    expect(() => theCloud(given())).toThrow(message);
  });
});
