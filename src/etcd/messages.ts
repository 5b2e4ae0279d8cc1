/**
 * The part of etcd's protocol that is spoken here, as etcd defines it: api/etcdserverpb/rpc.proto and api/mvccpb/kv.proto of etcd 3.4 and newer.
 *
 * What is decoded are plain objects: 64-bit numbers as decimal text, bytes as Buffer, fields that were not sent with their defaults.
 */
import protobuf from 'protobufjs';

const DEFINITION = `
syntax = "proto3";
message ResponseHeader { uint64 cluster_id = 1; uint64 member_id = 2; int64 revision = 3; uint64 raft_term = 4; }
message KeyValue { bytes key = 1; int64 create_revision = 2; int64 mod_revision = 3; int64 version = 4; bytes value = 5; int64 lease = 6; }
message RangeRequest { bytes key = 1; bytes range_end = 2; int64 limit = 3; int64 revision = 4; bool serializable = 7; bool keys_only = 8; bool count_only = 9; }
message RangeResponse { ResponseHeader header = 1; repeated KeyValue kvs = 2; bool more = 3; int64 count = 4; }
message PutRequest { bytes key = 1; bytes value = 2; int64 lease = 3; }
message DeleteRangeRequest { bytes key = 1; bytes range_end = 2; }
message RequestOp { oneof request { RangeRequest request_range = 1; PutRequest request_put = 2; DeleteRangeRequest request_delete_range = 3; } }
message ResponseOp { oneof response { RangeResponse response_range = 1; } }
message Compare {
  enum CompareResult { EQUAL = 0; GREATER = 1; LESS = 2; NOT_EQUAL = 3; }
  enum CompareTarget { VERSION = 0; CREATE = 1; MOD = 2; VALUE = 3; LEASE = 4; }
  CompareResult result = 1; CompareTarget target = 2; bytes key = 3;
  oneof target_union { int64 version = 4; int64 create_revision = 5; int64 mod_revision = 6; bytes value = 7; }
}
message TxnRequest { repeated Compare compare = 1; repeated RequestOp success = 2; repeated RequestOp failure = 3; }
message TxnResponse { ResponseHeader header = 1; bool succeeded = 2; repeated ResponseOp responses = 3; }
message WatchCreateRequest { bytes key = 1; bytes range_end = 2; int64 start_revision = 3; bool progress_notify = 4; int64 watch_id = 7; }
message WatchCancelRequest { int64 watch_id = 1; }
message WatchRequest { oneof request_union { WatchCreateRequest create_request = 1; WatchCancelRequest cancel_request = 2; } }
message Event { enum EventType { PUT = 0; DELETE = 1; } EventType type = 1; KeyValue kv = 2; }
message WatchResponse {
  ResponseHeader header = 1; int64 watch_id = 2; bool created = 3; bool canceled = 4; int64 compact_revision = 5; string cancel_reason = 6;
  repeated Event events = 11;
}
message LeaseGrantRequest { int64 TTL = 1; }
message LeaseGrantResponse { ResponseHeader header = 1; int64 ID = 2; int64 TTL = 3; }
message Permission { enum Type { READ = 0; WRITE = 1; READWRITE = 2; } Type permType = 1; bytes key = 2; bytes range_end = 3; }
message AuthRoleAddRequest { string name = 1; }
message AuthRoleGrantPermissionRequest { string name = 1; Permission perm = 2; }
message UserAddOptions { bool no_password = 1; }
message AuthUserAddRequest { string name = 1; string password = 2; UserAddOptions options = 3; }
message AuthUserGrantRoleRequest { string user = 1; string role = 2; }
message AuthResponse { ResponseHeader header = 1; }
message AuthenticateRequest { string name = 1; string password = 2; }
message AuthenticateResponse { ResponseHeader header = 1; string token = 2; }
`;

const root = protobuf.parse(DEFINITION, { keepCase: true }).root;

export interface Header {
  readonly cluster_id: string;
  readonly revision: string;
}

export interface KeyValue {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly mod_revision: string;
}

export interface RangeRequest {
  readonly key: Buffer;
  readonly range_end?: Buffer;
  readonly limit?: number;
  readonly revision?: number;
  readonly keys_only?: boolean;
  /** Answered by the member that is asked, which may be behind the others. */
  readonly serializable?: boolean;
}

export interface RangeResponse {
  readonly header: Header;
  readonly kvs: readonly KeyValue[];
  readonly more: boolean;
}

export type Operation =
  | { readonly request_put: { readonly key: Buffer; readonly value: Buffer; readonly lease?: string } }
  | { readonly request_delete_range: { readonly key: Buffer; readonly range_end?: Buffer } }
  | { readonly request_range: RangeRequest };

export type Compare =
  | { readonly result: 'EQUAL'; readonly target: 'VALUE'; readonly key: Buffer; readonly value: Buffer }
  /** 0: there is no such key. */
  | { readonly result: 'EQUAL'; readonly target: 'CREATE'; readonly key: Buffer; readonly create_revision: number }
  | { readonly result: 'EQUAL'; readonly target: 'MOD'; readonly key: Buffer; readonly mod_revision: number };

export interface TxnRequest {
  readonly compare: readonly Compare[];
  readonly success: readonly Operation[];
  readonly failure: readonly Operation[];
}

export interface TxnResponse {
  readonly header: Header;
  readonly succeeded: boolean;
  readonly responses: readonly { readonly response_range?: RangeResponse }[];
}

export interface WatchRequest {
  readonly create_request?: {
    readonly key: Buffer;
    readonly range_end: Buffer;
    readonly start_revision: number;
    readonly progress_notify: boolean;
    readonly watch_id: number;
  };
  readonly cancel_request?: { readonly watch_id: number };
}

export interface WatchResponse {
  readonly header: Header;
  readonly watch_id: string;
  readonly created: boolean;
  readonly canceled: boolean;
  readonly compact_revision: string;
  readonly cancel_reason: string;
  readonly events: readonly { readonly type: 'PUT' | 'DELETE'; readonly kv: KeyValue }[];
}

/** A method of one of etcd's services, with what turns its messages to bytes and back. */
export interface Method<Request, Response> {
  readonly path: string;
  readonly serialize: (request: Request) => Buffer;
  readonly deserialize: (bytes: Buffer) => Response;
}

function method<Request extends object, Response>(
  path: string,
  request: string,
  response: string,
): Method<Request, Response> {
  const [encoder, decoder] = [root.lookupType(request), root.lookupType(response)];
  return {
    path,
    serialize: (message) => Buffer.from(encoder.encode(encoder.fromObject(message)).finish()),
    // The definition says what is there; the interfaces above spell it.
    deserialize: (bytes) =>
      decoder.toObject(decoder.decode(bytes), {
        longs: String,
        enums: String,
        bytes: Buffer,
        defaults: true,
      }) as Response,
  };
}

export const RANGE = method<RangeRequest, RangeResponse>('/etcdserverpb.KV/Range', 'RangeRequest', 'RangeResponse');
export const TXN = method<TxnRequest, TxnResponse>('/etcdserverpb.KV/Txn', 'TxnRequest', 'TxnResponse');
export const WATCH = method<WatchRequest, WatchResponse>('/etcdserverpb.Watch/Watch', 'WatchRequest', 'WatchResponse');
export interface Permission {
  readonly permType: 'READ' | 'WRITE' | 'READWRITE';
  readonly key: Buffer;
  /** Absent for one key. */
  readonly range_end?: Buffer;
}

function auth<Request extends object>(name: string): Method<Request, unknown> {
  return method(`/etcdserverpb.Auth/${name}`, `Auth${name}Request`, 'AuthResponse');
}

export const ROLE_ADD = auth<{ readonly name: string }>('RoleAdd');
export const ROLE_GRANT = auth<{ readonly name: string; readonly perm: Permission }>('RoleGrantPermission');
export const USER_ADD = auth<{
  readonly name: string;
  readonly password: string;
  readonly options: { readonly no_password: boolean };
}>('UserAdd');
export const USER_GRANT = auth<{ readonly user: string; readonly role: string }>('UserGrantRole');
/** TTL in seconds. */
export const LEASE_GRANT = method<{ readonly TTL: number }, { readonly ID: string; readonly TTL: string }>(
  '/etcdserverpb.Lease/LeaseGrant',
  'LeaseGrantRequest',
  'LeaseGrantResponse',
);
export const AUTHENTICATE = method<{ readonly name: string; readonly password: string }, { readonly token: string }>(
  '/etcdserverpb.Auth/Authenticate',
  'AuthenticateRequest',
  'AuthenticateResponse',
);
