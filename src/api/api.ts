/** The API: a store, the state, and the server before them. */
import { lstatSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import type { Log } from '../../agent/log.js';
import { noted } from './audit.js';
import type { Authenticator } from './auth/authenticator.js';
import type { Tokens } from './auth/tokens.js';
import type { Caller } from './caller.js';
import { Database } from './database.js';
import type { AuditedChange } from './writer.js';
import { firstTemplates } from './neutron/default-group.js';
import { buildServer, type ServerSettings } from './server.js';
import { Hosts } from './topology/hosts.js';
import type { Store } from './store/store.js';

export interface ApiSettings {
  readonly version: string;
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

/** An address that cannot be listened on; one line. */
export class ListenError extends Error {
  override readonly name = 'ListenError';
}

/** For a living socket to say so. */
const PATIENCE_MS = 2000;

/** Removes a socket that a dead process left; nothing else. @throws ListenError */
async function makeWay(path: string): Promise<void> {
  const there = lstatSync(path, { throwIfNoEntry: false });
  if (there === undefined) return;
  if (!there.isSocket()) throw new ListenError(`${path}: is there and is no socket: it is left alone`);
  const isDead = await new Promise<boolean>((resolve) => {
    const socket = connect(path);
    socket.setTimeout(PATIENCE_MS, () => socket.destroy(new Error('no answer')));
    socket.once('connect', () => {
      socket.destroy();
      resolve(false);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      resolve(error.code === 'ECONNREFUSED');
    });
  });
  if (!isDead) throw new ListenError(`${path}: another process listens there`);
  rmSync(path, { force: true });
}

/** Who does what nobody asked for. */
const OURSELVES: Caller = { userId: 'portcullis', userName: 'portcullis', projectId: '', roles: ['admin'] };

export class Api {
  private constructor(
    readonly database: Database,
    /** What hosts say of themselves. */
    readonly hosts: Hosts,
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
        // Another process of the API was first.
        if (database.revision > 0) return;
        for (const template of firstTemplates()) writer.put('default_security_group_rule', template);
      });
    }
    const hosts = new Hosts(() => database.revision, database.reports);
    const app = await buildServer({ ...settings, service: { database, hosts, computeHost } });
    return new Api(database, hosts, app, settings);
  }

  /** @returns the address, with the port that it really has. @throws ListenError */
  async listen(): Promise<string> {
    const { listen } = this.settings;
    if (listen.kind === 'tcp') {
      try {
        return await this.app.listen({ host: listen.host, port: listen.port });
      } catch (error) {
        throw new ListenError(error instanceof Error ? error.message : String(error));
      }
    }
    await makeWay(listen.path);
    // Nobody else's from the first moment on.
    const before = process.umask(0o177);
    try {
      return await this.app.listen({ path: listen.path });
    } catch (error) {
      throw new ListenError(`${listen.path}: ${error instanceof Error ? error.message : String(error)}`);
    } finally {
      process.umask(before);
    }
  }

  async close(): Promise<void> {
    await this.app.close();
    await this.database.close();
  }
}

function audit(log: Log, caller: Caller, changes: readonly AuditedChange[]): void {
  const { userId, userName, projectId } = caller;
  for (const { kind, id, before, after } of changes) {
    const said = noted({ before, after });
    const action = before === undefined ? 'create' : after === undefined ? 'delete' : 'update';
    log.info(
      { id: 'change', audit: { action, kind, id, user: userId, userName, project: projectId, ...said } },
      `${action} ${kind}`,
    );
  }
}
