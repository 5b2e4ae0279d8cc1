/**
 * A client of etcd's gRPC API (v3; etcd 3.4 and newer): one call at one member, the next member after a failure; a token for user and
 * password, anew when it expires; a watch that ends when its member has lost the others.
 */
import { Metadata, type ServiceError } from '@grpc/grpc-js';
import type { EtcdAddress } from './address.js';
import {
  connect,
  EtcdError,
  failureOf,
  isRenewed,
  isTokenRefused,
  readText,
  unary,
  whenNotConnected,
  whyFailed,
  type Connection,
  type EtcdCredentials,
} from './connection.js';
import {
  AUTHENTICATE,
  LEASE_GRANT,
  RANGE,
  ROLE_ADD,
  ROLE_GRANT,
  TXN,
  USER_ADD,
  USER_GRANT,
  WATCH,
  type KeyValue,
  type Method,
  type Permission,
  type RangeRequest,
  type RangeResponse,
  type TxnRequest,
  type TxnResponse,
  type WatchRequest,
  type WatchResponse,
} from './messages.js';

export { EtcdError, type EtcdCredentials, type EtcdFailure } from './connection.js';

export interface WatchEvents {
  /** What one or more whole transactions changed, in order. */
  readonly onEvents: (
    events: WatchResponse['events'],
    header: WatchResponse['header'],
    /** Everything up to the header's revision was told. */
    isProgress: boolean,
  ) => void;
  /** Nothing more is told. Not called after the watch was ended by who began it. */
  readonly onEnd: (error: EtcdError) => void;
}

export interface StreamEvents extends Pick<WatchEvents, 'onEnd'> {
  /** As of {@link WatchEvents}, of one of the watches. */
  readonly onEvents: (id: number, ...rest: Parameters<WatchEvents['onEvents']>) => void;
}

export interface WatchStream {
  /** Keys from `key` to before `rangeEnd`: what changes after a revision of etcd's. @returns by which it is known. */
  add(key: Buffer, rangeEnd: Buffer, after: number): number;
  /** Nothing more is told of it. */
  cancel(id: number): void;
  end(): void;
}

export class EtcdClient {
  #member = 0;
  #connection: Connection | undefined;
  #token: Promise<string> | undefined;
  #isClosed = false;

  constructor(
    private readonly address: EtcdAddress,
    private readonly given: EtcdCredentials,
  ) {}

  /** Asks one member after the other. Linearizable. @throws EtcdError */
  async range(request: RangeRequest): Promise<RangeResponse> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.#call(RANGE, request);
      } catch (error) {
        if (!isUnreachable(error) || tries >= 2 * this.address.endpoints.length || this.#isClosed) throw error;
      }
    }
  }

  /**
   * All keys with a prefix, as of one revision, page by page; at least one page.
   * @param revision 0: the newest one, which the first page's header has. @throws EtcdError
   */
  async *pages(
    prefix: Buffer,
    { revision, ...options }: Pick<RangeRequest, 'limit' | 'serializable'> & { readonly revision: number },
  ): AsyncGenerator<RangeResponse, void> {
    const end = endOf(prefix);
    let [key, at] = [prefix, revision];
    for (;;) {
      const page = await this.range({ key, range_end: end, revision: at, ...options });
      yield page;
      const last = page.kvs.at(-1);
      if (!page.more || last === undefined) return;
      at = Number(at === 0 ? page.header.revision : at);
      key = Buffer.concat([last.key, Buffer.of(0)]);
    }
  }

  /** Asks one member once: after `unreachable` it may have been done. @throws EtcdError */
  async txn(request: TxnRequest): Promise<TxnResponse> {
    return this.#call(TXN, request);
  }

  /** A new lease. @param seconds for how long it lives. @returns its id. @throws EtcdError */
  async lease(seconds: number): Promise<string> {
    return (await this.#call(LEASE_GRANT, { TTL: seconds })).ID;
  }

  /** Makes a role, if it is not there, and gives it rights beside those that it has. @throws EtcdError */
  async grant(role: string, permissions: readonly Permission[]): Promise<void> {
    await this.#make(ROLE_ADD, { name: role });
    for (const perm of permissions) await this.#call(ROLE_GRANT, { name: role, perm });
  }

  /**
   * Makes a user, if it is not there, and gives it roles.
   * @param password undefined for one that is known by its certificate alone.
   * @throws EtcdError
   */
  async enrol(user: string, password: string | undefined, roles: readonly string[]): Promise<void> {
    const options = { no_password: password === undefined };
    await this.#make(USER_ADD, { name: user, password: password ?? '', options });
    for (const role of roles) await this.#call(USER_GRANT, { user, role });
  }

  async #make<Request>(method: Method<Request, unknown>, request: Request): Promise<void> {
    try {
      await this.#call(method, request);
    } catch (error) {
      // etcd: "etcdserver: role name already exists", "etcdserver: user name already exists".
      if (!(error instanceof EtcdError) || !error.message.includes('name already exists')) throw error;
    }
  }

  /**
   * Tells of every change of keys from `key` to before `rangeEnd` after a revision of etcd's.
   * @returns ends it.
   */
  watch(key: Buffer, rangeEnd: Buffer, after: number, { onEvents, onEnd }: WatchEvents): () => void {
    const stream = this.watches({
      onEvents: (_, events, header, isProgress) => {
        onEvents(events, header, isProgress);
      },
      onEnd,
    });
    stream.add(key, rangeEnd, after);
    return () => {
      stream.end();
    };
  }

  /** A stream of watches. One that ends, ends all. */
  watches({ onEvents, onEnd }: StreamEvents): WatchStream {
    let write: ((request: WatchRequest) => void) | undefined;
    let cancel = (): void => undefined;
    let forget = (): void => undefined;
    let isOver = false;
    let lastId = 0;
    /** By the watch's id: the revision that is known. */
    const known = new Map<number, number>();
    const unsent: WatchRequest[] = [];
    const end = (error: EtcdError): void => {
      if (isOver) return;
      isOver = true;
      forget();
      cancel();
      onEnd(error);
    };
    const begin = async (): Promise<void> => {
      const metadata = await this.#metadata();
      // Without it a member that lost the others tells nothing, for ever (etcd, Documentation: "learning/api_guarantees").
      metadata.set('hasleader', 'true');
      if (isOver) return;
      const connection = this.#connected();
      const { client, endpoint } = connection;
      const stream = client.makeBidiStreamRequest(WATCH.path, WATCH.serialize, WATCH.deserialize, metadata, {});
      cancel = () => {
        stream.cancel();
      };
      const stopWaiting = whenNotConnected(client, cancel);
      connection.onLost.add(end);
      forget = () => {
        stopWaiting();
        connection.onLost.delete(end);
      };
      const cancelled = new Set<string>();
      stream.on('data', (response: WatchResponse) => {
        if (isOver || cancelled.has(response.watch_id)) return;
        if (response.compact_revision !== '0') {
          end(new EtcdError('compacted', `${endpoint}: compacted up to revision ${response.compact_revision}`));
        } else if (response.canceled) {
          // A token that has expired is no more than this to etcd 3.4.
          this.#token = undefined;
          end(new EtcdError('denied', `${endpoint}: the watch was ended: ${response.cancel_reason}`));
        } else {
          const { created, events, header, watch_id: id } = response;
          const after = known.get(Number(id)) ?? 0;
          const news = events.filter(({ kv }) => Number(kv.mod_revision) > after);
          onEvents(Number(id), news, header, !created && events.length === 0);
        }
      });
      stream.on('error', (error: ServiceError) => {
        if (isOver) return;
        if (isTokenRefused(error)) this.#token = undefined;
        end(this.#failed(error, connection));
      });
      stream.on('end', () => {
        end(new EtcdError('unreachable', `${endpoint}: the watch was ended`));
      });
      write = (request) => {
        if (request.cancel_request !== undefined) cancelled.add(request.cancel_request.watch_id.toString());
        stream.write(request);
      };
      unsent.forEach(write);
    };
    begin().catch((error: unknown) => {
      end(error instanceof EtcdError ? error : new EtcdError('unreachable', String(error)));
    });
    const send = (request: WatchRequest): void => {
      if (write === undefined) unsent.push(request);
      else if (!isOver) write(request);
    };
    return {
      add: (key, rangeEnd, after) => {
        const id = ++lastId;
        known.set(id, after);
        // Of a compaction at the very next revision etcd says nothing to who asks from there on, and before 3.5.18 it does not tell what was
        // deleted in it (etcd, issues 18089 and 19179). Who asks from the one before is told that it is compacted.
        const from = { start_revision: Math.max(1, after), progress_notify: true, watch_id: id };
        send({ create_request: { key, range_end: rangeEnd, ...from } });
        return id;
      },
      cancel: (id) => {
        known.delete(id);
        send({ cancel_request: { watch_id: id } });
      },
      end: () => {
        isOver = true;
        forget();
        cancel();
      },
    };
  }

  close(): void {
    this.#isClosed = true;
    this.#connection?.client.close();
    this.#connection = undefined;
  }

  async #call<Request, Response>(method: Method<Request, Response>, request: Request): Promise<Response> {
    const metadata = await this.#metadata();
    const used = this.#token;
    try {
      return await this.#ask(method, request, metadata);
    } catch (error) {
      if (used === undefined || !(error instanceof EtcdError) || error.failure !== 'denied') throw error;
      // Expired, or of a member that was restarted: what is refused so was not done.
      if (this.#token === used) this.#token = undefined;
      return this.#ask(method, request, await this.#metadata());
    }
  }

  async #ask<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    metadata: Metadata,
  ): Promise<Response> {
    const connection = this.#connected();
    try {
      return await unary(connection.client, method, request, metadata);
    } catch (error) {
      // What unary rejects with.
      throw this.#failed(error as ServiceError | EtcdError, connection);
    }
  }

  async #metadata(): Promise<Metadata> {
    const metadata = new Metadata();
    if (this.given.user === undefined) return metadata;
    this.#token ??= this.#authenticate(this.given.user);
    const token = this.#token;
    try {
      metadata.set('token', await token);
    } catch (error) {
      if (this.#token === token) this.#token = undefined;
      throw error;
    }
    return metadata;
  }

  async #authenticate({ name, passwordFile }: NonNullable<EtcdCredentials['user']>): Promise<string> {
    const password = readText(passwordFile).replace(/\r?\n$/, '');
    return (await this.#ask(AUTHENTICATE, { name, password }, new Metadata())).token;
  }

  #connected(): Connection {
    if (this.#isClosed) throw new EtcdError('refused', 'the client is closed');
    const endpoint = this.address.endpoints[this.#member] ?? '';
    this.#connection ??= connect(endpoint, this.address.isTls, this.given);
    return this.#connection;
  }

  /** What it means; where nobody answered, the next call goes to the next member. */
  #failed(error: ServiceError | EtcdError, connection: Connection): EtcdError {
    if (error instanceof EtcdError) return error;
    const failure = failureOf(error);
    const failed = new EtcdError(failure, connection.lost?.message ?? whyFailed(error, connection));
    const isLost = failure === 'unreachable' || (failure === 'denied' && isRenewed(connection));
    if (!isLost || this.#connection !== connection) return failed;
    connection.lost = failed;
    connection.client.close();
    this.#connection = undefined;
    if (failure === 'unreachable') this.#member = (this.#member + 1) % this.address.endpoints.length;
    // Who only listens there would hear of it after some pings.
    for (const lost of [...connection.onLost]) lost(failed);
    return failed;
  }
}

/** The first key behind all that begin with a prefix. */
export function endOf(prefix: Buffer): Buffer {
  const end = Buffer.from(prefix);
  const last = end.length - 1;
  // Prefixes are ASCII: the last byte is never 255.
  end[last] = (end[last] ?? 0) + 1;
  return end;
}

export type { KeyValue };

function isUnreachable(error: unknown): boolean {
  return error instanceof EtcdError && error.failure === 'unreachable';
}
