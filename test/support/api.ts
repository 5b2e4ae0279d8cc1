/** A control API on a store of its own, asked without a network. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import type { FastifyInstance } from 'fastify';
import { onTestFinished } from 'vitest';
import { noAuthentication } from '../../src/api/auth/none.js';
import type { Authenticator } from '../../src/api/auth/authenticator.js';
import type { Tokens } from '../../src/api/auth/tokens.js';
import { Database } from '../../src/api/database.js';
import { firstTemplates } from '../../src/api/neutron/default-group.js';
import { buildServer } from '../../src/api/server.js';
import { LmdbStore } from '../../src/api/store/lmdb.js';
import { Hosts } from '../../src/api/topology/hosts.js';

export type Answer = Readonly<Record<string, unknown>>;

export interface Response {
  readonly status: number;
  /** {} where there is none. */
  readonly body: Answer;
  readonly headers: Readonly<Record<string, unknown>>;
}

/** Who asks: project `a` by default, as an administrator. */
export interface As {
  readonly project?: string;
  readonly roles?: string;
  readonly ifMatch?: string;
  readonly token?: string;
}

export const MEMBER: As = { project: 'a', roles: 'member' };
export const OTHER: As = { project: 'b', roles: 'member' };
export const READER: As = { project: 'a', roles: 'reader' };

/** Whatever is below none of them is Neutron's. */
const OTHER_SERVICES = /^\/(v2\.0|network|compute|image|identity|portcullis)(\/|$)/;

type Method = 'GET' | 'POST' | 'PUT' | 'DELETE';

export interface ApiSettings {
  readonly tls?: { readonly cert: Buffer; readonly key: Buffer };
  readonly rate?: number;
}

export class TestApi {
  private constructor(
    readonly database: Database,
    readonly hosts: Hosts,
    readonly app: FastifyInstance,
    readonly folder: string,
    readonly audited: Answer[],
  ) {}

  static async open(
    authenticator: Authenticator = noAuthentication,
    tokens?: Tokens,
    settings: ApiSettings = {},
  ): Promise<TestApi> {
    const folder = mkdtempSync(join(tmpdir(), 'portcullis-api-'));
    // Not hooks of this module: modules are loaded once for many files, a hook belongs to the first of them. The last is called first.
    onTestFinished(() => {
      rmSync(folder, { recursive: true });
    });
    const audited: Answer[] = [];
    const database = await Database.open(await LmdbStore.open(folder), (caller, changes) => {
      audited.push({ caller, changes });
    });
    await database.change({ userId: '', userName: '', projectId: '', roles: [] }, (writer) => {
      for (const template of firstTemplates()) writer.put('default_security_group_rule', template);
    });
    const hosts = new Hosts(() => database.revision);
    const app = await buildServer({
      version: '0',
      service: { database, hosts, computeHost: 'host-1' },
      authenticator,
      tokens,
      agentToken: 'the-token-of-agents',
      tls: settings.tls,
      log: pino({ level: 'silent' }),
      rate: settings.rate ?? 1_000_000,
    });
    const api = new TestApi(database, hosts, app, folder, audited);
    onTestFinished(async () => {
      await api.close();
    });
    return api;
  }

  async close(): Promise<void> {
    await this.app.close();
    await this.database.close();
  }

  async call(method: Method, path: string, body?: unknown, as: As = { project: 'a' }): Promise<Response> {
    const { project, roles, ifMatch, token } = as;
    const response = await this.app.inject({
      method,
      url: OTHER_SERVICES.test(path) ? path : `/v2.0${path}`,
      ...(body === undefined ? {} : { payload: typeof body === 'string' ? body : JSON.stringify(body) }),
      headers: {
        ...(project === undefined ? {} : { 'x-project-id': project }),
        ...(roles === undefined ? {} : { 'x-roles': roles }),
        ...(ifMatch === undefined ? {} : { 'if-match': ifMatch }),
        ...(token === undefined ? {} : { 'x-auth-token': token }),
      },
    });
    const text = response.body;
    return {
      status: response.statusCode,
      body: text === '' ? {} : (JSON.parse(text) as Answer),
      headers: response.headers,
    };
  }

  async get(path: string, as?: As): Promise<Response> {
    return this.call('GET', path, undefined, as);
  }

  /** What is made, or an error with the whole answer. */
  async make(path: string, singular: string, fields: object, as?: As): Promise<Answer> {
    const { status, body } = await this.call('POST', path, { [singular]: fields }, as);
    if (status !== 201) throw new Error(`POST ${path}: ${status.toString()} ${JSON.stringify(body)}`);
    return body[singular] as Answer;
  }

  async group(name: string, fields: object = {}, as?: As): Promise<string> {
    return idOf(await this.make('/security-groups', 'security_group', { name, ...fields }, as));
  }

  async rule(groupId: string, fields: object, as?: As): Promise<Answer> {
    return this.make(
      '/security-group-rules',
      'security_group_rule',
      { security_group_id: groupId, direction: 'ingress', ...fields },
      as,
    );
  }

  async network(fields: object = {}, as?: As): Promise<string> {
    return idOf(await this.make('/networks', 'network', { name: 'net', ...fields }, as));
  }

  /** A network with the subnet 10.0.0.0/24. */
  async subnetted(as?: As): Promise<string> {
    const network = await this.network({}, as);
    await this.make('/subnets', 'subnet', { network_id: network, cidr: '10.0.0.0/24' }, as);
    return network;
  }

  async port(network: string, fields: object = {}, as?: As): Promise<Answer> {
    return this.make('/ports', 'port', { network_id: network, ...fields }, as);
  }
}

export function idOf(answer: Answer): string {
  return String(answer['id']);
}

/** Neutron's name of the error, and its text. */
export function errorOf({ body }: Response): { readonly type: string; readonly message: string } {
  const error = (body['NeutronError'] ?? body['error'] ?? Object.values(body)[0]) as { type?: string; message: string };
  return { type: error.type ?? '', message: error.message };
}

export function objects(response: Response, plural: string): readonly Answer[] {
  return response.body[plural] as readonly Answer[];
}
