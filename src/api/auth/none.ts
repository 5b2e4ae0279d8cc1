/** No authentication: headers say who asks, as behind Neutron's noauth pipeline. For loopback and unix sockets only. */
import type { Authenticator } from './authenticator.js';
import { header } from './authenticator.js';

/** The project of those who name none. */
const PROJECT = 'default';

export const noAuthentication: Authenticator = {
  authenticate(headers) {
    const roles = header(headers, 'x-roles');
    const userId = header(headers, 'x-user-id') ?? 'admin';
    return Promise.resolve({
      userId,
      userName: header(headers, 'x-user-name') ?? userId,
      projectId: header(headers, 'x-project-id') ?? header(headers, 'x-tenant-id') ?? PROJECT,
      roles: roles === undefined ? ['admin'] : roles.split(',').map((role) => role.trim().toLowerCase()),
    });
  },
};
