/** A connection to one member of etcd: how it is made, when it is given up, and what a failure there means. */
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { checkServerIdentity } from 'node:tls';
import { Client, connectivityState, credentials, status, type Metadata, type ServiceError } from '@grpc/grpc-js';
import type { Method } from './messages.js';

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

/** For one call at one member. */
const CALL_MS = 3000;
/**
 * For a connection to be made: who was cut off is back soon after, since TCP asks again after 1 s and, the next time, after 3 s only
 * (RFC 6298, 2.1). In milliseconds.
 */
const CONNECT_MS = 2000;
const OPTIONS = {
  // etcd refuses pings that come more often than every 5 s (server/embed/config.go, GRPCKeepAliveMinTime). Who is silent for longer than
  // these two together is given up: what he has to say would come by TCP's next try, after as long again as he was cut off.
  'grpc.keepalive_time_ms': 6000,
  'grpc.keepalive_timeout_ms': 2000,
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
export interface Connection {
  readonly client: Client;
  readonly endpoint: string;
  /** That was shown there; undefined where none was. */
  readonly certificate: ShownCertificate | undefined;
  /** Of the streams that there are: each is ended when the connection is given up. */
  readonly onLost: Set<(error: EtcdError) => void>;
  /** Why it was given up: what was under way there failed for the same reason, whatever grpc says of it. */
  lost: EtcdError | undefined;
}

interface ShownCertificate {
  readonly file: string;
  readonly text: string;
}

/** @throws EtcdError for files that cannot be used. */
export function connect(endpoint: string, isTls: boolean, { caFile, certificate }: EtcdCredentials): Connection {
  const onLost = new Set<(error: EtcdError) => void>();
  if (!isTls) {
    const client = new Client(endpoint, credentials.createInsecure(), OPTIONS);
    return { client, endpoint, certificate: undefined, onLost, lost: undefined };
  }
  const host = endpoint.replace(/:\d+$/, '').replace(/^\[|\]$/g, '');
  const shown =
    certificate === undefined ? undefined : { file: certificate.certFile, text: readText(certificate.certFile) };
  try {
    const channel = credentials.createSsl(
      caFile === undefined ? null : Buffer.from(readText(caFile)),
      certificate === undefined ? null : Buffer.from(readText(certificate.keyFile)),
      shown === undefined ? null : Buffer.from(shown.text),
      { checkServerIdentity: (_, found) => checkServerIdentity(host, found) },
    );
    const client = new Client(endpoint, channel, isIP(host) === 0 ? OPTIONS : { ...OPTIONS, ...NAMELESS });
    return { client, endpoint, certificate: shown, onLost, lost: undefined };
  } catch (error) {
    if (error instanceof EtcdError) throw error;
    // What OpenSSL says of a file that is none, or a key of another certificate.
    throw new EtcdError('denied', `certificates: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** Whether another certificate is in the file by now than was shown. */
export function isRenewed({ certificate }: Connection): boolean {
  if (certificate === undefined) return false;
  try {
    return readText(certificate.file) !== certificate.text;
  } catch {
    // It cannot be shown, either.
    return false;
  }
}

/** Asks one member once. Rejects with what grpc says. */
export async function unary<Request, Response>(
  client: Client,
  { path, serialize, deserialize }: Method<Request, Response>,
  request: Request,
  metadata: Metadata,
): Promise<Response> {
  return new Promise((resolve, reject) => {
    const options = { deadline: Date.now() + CALL_MS };
    const call = client.makeUnaryRequest(
      path,
      serialize,
      deserialize,
      request,
      metadata,
      options,
      (error, response) => {
        stopWaiting();
        if (error !== null) reject(error);
        else if (response === undefined) reject(new EtcdError('unreachable', 'an empty answer'));
        else resolve(response);
      },
    );
    const stopWaiting = whenNotConnected(client, () => {
      call.cancel();
    });
  });
}

/** Cancels what waits for a connection that is not made in time. @returns ends it. */
export function whenNotConnected(client: Client, cancel: () => void): () => void {
  const timer = setTimeout(() => {
    if (client.getChannel().getConnectivityState(false) !== connectivityState.READY) cancel();
  }, CONNECT_MS);
  return () => {
    clearTimeout(timer);
  };
}

/** The member, what went wrong, and the certificate that was shown where that may be why: who refuses one that has expired says so to nobody. */
export function whyFailed(error: ServiceError, { endpoint, certificate }: Connection): string {
  const why = `${endpoint}: ${reasonOf(error)}`;
  if (certificate === undefined || failureOf(error) !== 'unreachable') return why;
  const { validTo } = new X509Certificate(certificate.text);
  const end = new Date(validTo);
  return end.getTime() < Date.now()
    ? `${why}; the certificate ${certificate.file} expired at ${end.toISOString()}`
    : why;
}

/** What went wrong, in words that are the same the next time: without times, and OpenSSL's places in its own code. */
function reasonOf({ code, details, message }: ServiceError): string {
  if (code === status.DEADLINE_EXCEEDED) return `no answer within ${CALL_MS / 1000} s`;
  // grpc-js, of a call that we cancelled: only one that waits for a connection.
  if (code === status.CANCELLED && details === 'Cancelled on client')
    return `no connection within ${CONNECT_MS / 1000} s`;
  const [what = ''] = (details === '' ? message : details).split(' Resolution note:');
  return what
    .replace(/[0-9A-F]+:error:[0-9A-F]+:SSL routines:[^:]*:([^:]+):.*$/s, '$1')
    .replace(/\s*\(\d{4}-\d\d-\d\dT[\d:.]+Z\)\.?$/, '')
    .replaceAll(/\s+/g, ' ');
}

/** A token is one of before users or roles were changed, which is said before anything is done (etcd, ErrAuthOldRevision); 3.4 says it in other words, too. */
const OLD_TOKEN = /revision of auth store is old|auth: revision in header is old/;

export function isTokenRefused({ code, details }: ServiceError): boolean {
  return code === status.UNAUTHENTICATED || details.includes('invalid auth token') || OLD_TOKEN.test(details);
}

export function failureOf({ code, details }: ServiceError): EtcdFailure {
  if (OLD_TOKEN.test(details)) return 'denied';
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

/** @throws EtcdError */
export function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new EtcdError('denied', error instanceof Error ? error.message : String(error));
  }
}
