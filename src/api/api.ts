/** The API: a store, the state, and the server before them. */
import { rmSync } from 'node:fs';
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import type { Authenticator } from './auth/authenticator.js';
import type { Tokens } from './auth/tokens.js';
import type { Caller } from './caller.js';
import { Database, type AuditedChange } from './database.js';
import { firstTemplates } from './neutron/default-group.js';
import { buildServer, type ServerSettings } from './server.js';
import type { Store } from './store/store.js';

export interface ApiSettings {
  readonly listen: Address;
  readonly store: Store;
  readonly authenticator: Authenticator;
  readonly tokens: Tokens | undefined;
  readonly agentToken: string | undefined;
  readonly tls: ServerSettings['tls'];
  readonly computeHost: string | undefined;
  readonly rate: number;
  readonly log: Logger;
}

export type Address =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string };

/** Who does what nobody asked for. */
const OURSELVES: Caller = { userId: 'portcullis', userName: 'portcullis', projectId: '', roles: ['admin'] };

export class Api {
  private constructor(
    readonly database: Database,
    private readonly app: FastifyInstance,
    private readonly settings: ApiSettings,
  ) {}

  /** Opens the store and prepares everything; nobody is served yet. @throws StoreError */
  static async open(settings: ApiSettings): Promise<Api> {
    const { store, log, computeHost } = settings;
    const database = await Database.open(store, (caller, changes) => {
      audit(log, caller, changes);
    });
    if (database.revision === 0) {
      await database.change(OURSELVES, (writer) => {
        for (const template of firstTemplates()) writer.put('default_security_group_rule', template);
      });
    }
    const app = await buildServer({ ...settings, service: { database, computeHost } });
    return new Api(database, app, settings);
  }

  /** @returns the address, with the port that it really has. */
  async listen(): Promise<string> {
    const { listen } = this.settings;
    if (listen.kind === 'tcp') return this.app.listen({ host: listen.host, port: listen.port });
    // A socket that a dead process left; a live one has the store's lock, and we would not be here.
    rmSync(listen.path, { force: true });
    return this.app.listen({ path: listen.path });
  }

  async close(): Promise<void> {
    await this.app.close();
    await this.database.close();
  }
}

function audit(log: Logger, caller: Caller, changes: readonly AuditedChange[]): void {
  const { userId, userName, projectId } = caller;
  for (const { kind, id, before, after } of changes) {
    const action = before === undefined ? 'create' : after === undefined ? 'delete' : 'update';
    log.info(
      { audit: { action, kind, id, user: userId, userName, project: projectId, before, after } },
      `${action} ${kind}`,
    );
  }
}
