/** The one token by which agents read the topology, whoever else may ask: it does not expire. */
import { header, type Authenticator } from './authenticator.js';
import { isSameSecret } from './secret.js';

export function agentAuthenticator(secret: string | undefined): Authenticator {
  return {
    authenticate({ headers }) {
      const token = header(headers, 'x-auth-token');
      const isAgent = secret !== undefined && token !== undefined && isSameSecret(token, secret);
      return Promise.resolve(
        isAgent
          ? { userId: 'portcullis-agent', userName: 'portcullis-agent', projectId: '', roles: ['portcullis-agent'] }
          : undefined,
      );
    },
  };
}
