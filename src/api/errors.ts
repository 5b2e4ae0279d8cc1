/** What an answer says when it is no success. Each service has its own body for it; see their `errorBody`. */
export class ApiError extends Error {
  override readonly name = 'ApiError';

  constructor(
    readonly status: number,
    /** Neutron's name of the error, as clients know it. */
    readonly type: string,
    /** For the user; says nothing of objects that the caller may not see. */
    message: string,
  ) {
    super(message);
  }
}

export function badRequest(message: string, type = 'HTTPBadRequest'): ApiError {
  return new ApiError(400, type, message);
}

/** A value that an attribute cannot have. */
export function invalidInput(name: string, reason: string): ApiError {
  return badRequest(`Invalid input for ${name}. Reason: ${reason}.`);
}

export function forbidden(what: string): ApiError {
  return new ApiError(403, 'PolicyNotAuthorized', `${what} is disallowed by policy`);
}

export function notFound(type: string, message: string): ApiError {
  return new ApiError(404, type, message);
}

export function conflict(type: string, message: string): ApiError {
  return new ApiError(409, type, message);
}
