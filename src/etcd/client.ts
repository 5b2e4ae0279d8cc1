/**
 * A client of etcd's gRPC API (v3; etcd 3.4 and newer): one call at one member, the next member after a failure; a token for user and
 * password, anew when it expires; a watch that ends when its member has lost the others.
 */
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { checkServerIdentity } from 'node:tls';
import { Client, credentials, Metadata, status, type ServiceError } from '@grpc/grpc-js';
import type { EtcdAddress } from './address.js';
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

/** Files are read with each new connection: who renews certificates restarts nothing. */
export interface EtcdCredentials {
  /** Of who signed the members' certificates, PEM; undefined for those that the system trusts. */
  readonly caFile?: string;
  readonly certificate?: { readonly certFile: string; readonly keyFile: string };
  readonly user?: { readonly name: string; readonly passwordFile: string };
}

export type EtcdFailure =
  /** Nobody answered: what was asked may have been done. */
  | 'unreachable'
  | 'denied'
  /** The quota is used up; nothing was done. */
  | 'full'
  /** What a watch asks for was compacted away. */
  | 'compacted'
  /** Anything else that etcd says no to; nothing was done. */
  | 'refused';

/** One line: the member, and what it said. */
export class EtcdError extends Error {
  override readonly name = 'EtcdError';

  constructor(
    readonly failure: EtcdFailure,
    message: string,
  ) {
    super(message);
  }
}

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
  /** Keys from `key` to before `rangeEnd`, from a revision of etcd's on. @returns by which it is known. */
  add(key: Buffer, rangeEnd: Buffer, startRevision: number): number;
  /** Nothing more is told of it. */
  cancel(id: number): void;
  end(): void;
}

/** For one call at one member; in milliseconds. */
const CALL = 3000;
const OPTIONS = {
  // etcd refuses pings that come more often than every 5 s (server/embed/config.go, GRPCKeepAliveMinTime).
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 5000,
  'grpc.initial_reconnect_backoff_ms': 200,
  'grpc.max_reconnect_backoff_ms': 2000,
  // A new client connects anew, and does not wait out the pause of the one before.
  'grpc.use_local_subchannel_pool': 1,
  // Else the name service is asked for settings (TXT), too, and may keep a process that is done for half a minute by not answering.
  'grpc.service_config_disable_resolution': 1,
  'grpc.max_receive_message_length': -1,
  'grpc.max_send_message_length': -1,
};

/** An address is no name that TLS may ask for (RFC 6066, 3; Node warns): it asks for this one, and the certificate must have the address. */
const NAMELESS = { 'grpc.ssl_target_name_override': 'etcd' };

/** To one member. */
interface Connection {
  readonly client: Client;
  readonly endpoint: string;
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
   * Tells of every change of keys from `key` to before `rangeEnd`, from a revision of etcd's on.
   * @returns ends it.
   */
  watch(key: Buffer, rangeEnd: Buffer, startRevision: number, { onEvents, onEnd }: WatchEvents): () => void {
    const stream = this.watches({
      onEvents: (_, events, header, isProgress) => {
        onEvents(events, header, isProgress);
      },
      onEnd,
    });
    stream.add(key, rangeEnd, startRevision);
    return () => {
      stream.end();
    };
  }

  /** A stream of watches. One that ends, ends all. */
  watches({ onEvents, onEnd }: StreamEvents): WatchStream {
    let write: ((request: WatchRequest) => void) | undefined;
    let cancel = (): void => undefined;
    let isOver = false;
    let lastId = 0;
    const unsent: WatchRequest[] = [];
    const end = (error: EtcdError): void => {
      if (isOver) return;
      isOver = true;
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
          onEvents(Number(id), events, header, !created && events.length === 0);
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
      add: (key, rangeEnd, startRevision) => {
        const id = ++lastId;
        const create = { key, range_end: rangeEnd, start_revision: startRevision, progress_notify: true, watch_id: id };
        send({ create_request: create });
        return id;
      },
      cancel: (id) => {
        send({ cancel_request: { watch_id: id } });
      },
      end: () => {
        isOver = true;
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
    const host = endpoint.replace(/:\d+$/, '').replace(/^\[|\]$/g, '');
    const options = this.address.isTls && isIP(host) !== 0 ? { ...OPTIONS, ...NAMELESS } : OPTIONS;
    this.#connection ??= { client: new Client(endpoint, this.#channelCredentials(host), options), endpoint };
    return this.#connection;
  }

  /** @param host whose certificate it must be. */
  #channelCredentials(host: string): ReturnType<typeof credentials.createSsl> {
    if (!this.address.isTls) return credentials.createInsecure();
    const { caFile, certificate } = this.given;
    try {
      return credentials.createSsl(
        caFile === undefined ? null : Buffer.from(readText(caFile)),
        certificate === undefined ? null : Buffer.from(readText(certificate.keyFile)),
        certificate === undefined ? null : Buffer.from(readText(certificate.certFile)),
        { checkServerIdentity: (_, found) => checkServerIdentity(host, found) },
      );
    } catch (error) {
      if (error instanceof EtcdError) throw error;
      // What OpenSSL says of a file that is none, or a key of another certificate.
      throw new EtcdError('denied', `certificates: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  /** What it means; where nobody answered, the next call goes to the next member. */
  #failed(error: ServiceError | EtcdError, connection: Connection): EtcdError {
    if (error instanceof EtcdError) return error;
    const { client, endpoint } = connection;
    const failure = failureOf(error);
    if (failure === 'unreachable' && this.#connection === connection) {
      client.close();
      this.#connection = undefined;
      this.#member = (this.#member + 1) % this.address.endpoints.length;
    }
    const [what = ''] = (error.details === '' ? error.message : error.details).split(' Resolution note:');
    return new EtcdError(failure, `${endpoint}: ${what}`);
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

async function unary<Request, Response>(
  client: Client,
  { path, serialize, deserialize }: Method<Request, Response>,
  request: Request,
  metadata: Metadata,
): Promise<Response> {
  return new Promise((resolve, reject) => {
    const options = { deadline: Date.now() + CALL };
    client.makeUnaryRequest(path, serialize, deserialize, request, metadata, options, (error, response) => {
      if (error !== null) reject(error);
      else if (response === undefined) reject(new EtcdError('unreachable', 'an empty answer'));
      else resolve(response);
    });
  });
}

function isUnreachable(error: unknown): boolean {
  return error instanceof EtcdError && error.failure === 'unreachable';
}

function isTokenRefused({ code, details }: ServiceError): boolean {
  return code === status.UNAUTHENTICATED || /invalid auth token|auth: revision in auth store is old/.test(details);
}

function failureOf({ code, details }: ServiceError): EtcdFailure {
  switch (code) {
    case status.UNAVAILABLE:
    case status.DEADLINE_EXCEEDED:
    case status.CANCELLED:
    case status.INTERNAL:
    case status.UNKNOWN:
      return 'unreachable';
    case status.RESOURCE_EXHAUSTED:
      // "mvcc: database space exceeded"; too many requests at once are another thing.
      return details.includes('space exceeded') ? 'full' : 'unreachable';
    case status.PERMISSION_DENIED:
    case status.UNAUTHENTICATED:
      return 'denied';
    case status.OUT_OF_RANGE:
      return 'compacted';
    default:
      return /user name is empty|authentication failed|invalid auth token/.test(details) ? 'denied' : 'refused';
  }
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new EtcdError('denied', error instanceof Error ? error.message : String(error));
  }
}
