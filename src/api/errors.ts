/** Every error of the API: what clients know it by, and the HTTP status that it comes with. */

/** Neutron's names, as it spells them. */
const NEUTRON = {
  BadRequest: 400,
  HTTPBadRequest: 400,
  InvalidInput: 400,
  MalformedRequestBody: 400,
  PolicyNotAuthorized: 403,
  ExtensionNotFound: 404,
  HTTPNotFound: 404,
  MarkerNotFound: 404,
  HTTPMethodNotAllowed: 405,
  OverQuota: 409,
  RevisionNumberConstraintFailed: 412,
  HTTPRequestEntityTooLarge: 413,
  TooManyRequests: 429,
  HTTPInternalServerError: 500,

  NetworkNotFound: 404,
  NetworkInUse: 409,

  InvalidAllocationPool: 400,
  SubnetNotFound: 404,
  SubnetInUse: 409,

  AllowedAddressPairExhausted: 400,
  AllowedAddressPairsMissingIP: 400,
  DuplicateAddressPairInRequest: 400,
  InvalidIpForNetwork: 400,
  InvalidIpForSubnet: 400,
  PortSecurityAndIPRequiredForSecurityGroups: 400,
  PortNotFound: 404,
  AddressPairAndPortSecurityRequired: 409,
  IpAddressAlreadyAllocated: 409,
  IpAddressGenerationFailure: 409,
  MacAddressInUse: 409,
  PortSecurityPortHasSecurityGroup: 409,
  SecurityGroupConflict: 409,
  MacAddressGenerationFailure: 503,

  SecurityGroupNotFound: 404,
  SecurityGroupCannotRemoveDefault: 409,
  SecurityGroupCannotUpdateDefault: 409,
  SecurityGroupDefaultAlreadyExists: 409,
  SecurityGroupInUse: 409,

  InvalidCIDR: 400,
  SecurityGroupEthertypeConflictWithProtocol: 400,
  SecurityGroupInvalidIcmpValue: 400,
  SecurityGroupInvalidPortRange: 400,
  SecurityGroupInvalidPortValue: 400,
  SecurityGroupInvalidProtocolForPort: 400,
  SecurityGroupMissingIcmpType: 400,
  SecurityGroupMultipleRemoteEntites: 400,
  SecurityGroupNotSingleGroupRules: 400,
  SecurityGroupProtocolRequiredWithPorts: 400,
  SecurityGroupRuleInvalidEtherType: 400,
  SecurityGroupRuleInvalidProtocol: 400,
  SecurityGroupRuleParameterConflict: 400,
  SecurityGroupRulesNotSingleTenant: 400,
  DefaultSecurityGroupRuleNotFound: 404,
  SecurityGroupRuleNotFound: 404,
  DefaultSecurityGroupRuleExists: 409,
  DuplicateSecurityGroupRuleInPost: 409,
  SecurityGroupRuleExists: 409,

  AddressesAlreadyExist: 400,
  AddressesNotFound: 404,
  AddressGroupNotFound: 404,
  AddressGroupInUse: 409,

  InvalidQuotaLimit: 400,
  RbacPolicyNotFound: 404,
  TagNotFound: 404,
  TenantQuotaNotFound: 404,
  DuplicateRbacPolicy: 409,
  RbacPolicyInUse: 409,
} as const;

/** Nova's, in whose bodies the status alone says which it is. */
const NOVA = { badRequest: 400, forbidden: 403, itemNotFound: 404, conflictingRequest: 409 } as const;

/** Keystone's and Glance's, of which the status says the same. */
const IDENTITY = {
  ValidationError: 400,
  Unauthorized: 401,
  Forbidden: 403,
  NotFound: 404,
  ServiceUnavailable: 503,
} as const;

/** What no OpenStack service has. */
const OURS = { Overloaded: 503, StoreUnavailable: 503, TooManyHosts: 507 } as const;

const STATUS = { ...NEUTRON, ...NOVA, ...IDENTITY, ...OURS };

export type ErrorType = keyof typeof STATUS;

/** What an answer says when it is no success. Each service has its own body for it; see their `errorBody`. */
export class ApiError extends Error {
  override readonly name = 'ApiError';

  constructor(
    readonly type: ErrorType,
    /** For the user; says nothing of objects that the caller may not see. */
    message: string,
    /** Another one only where the HTTP library refused the request, and says which. */
    readonly status: number = STATUS[type],
  ) {
    super(message);
  }
}

export function badRequest(message: string): ApiError {
  return new ApiError('HTTPBadRequest', message);
}

/** A value that an attribute cannot have. */
export function invalidInput(name: string, reason: string): ApiError {
  return badRequest(`Invalid input for ${name}. Reason: ${reason}.`);
}

export function forbidden(what: string): ApiError {
  return new ApiError('PolicyNotAuthorized', `${what} is disallowed by policy`);
}
