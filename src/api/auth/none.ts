/**
 * No authentication: headers say who asks, as behind Neutron's noauth pipeline. For loopback and unix sockets only, and not for
 * browsers, which anybody's web page makes ask there: by a name that it lets point to this host (CVE-2018-1099), or by a form or
 * script of its own (CVE-2018-1098).
 */
import type { IncomingHttpHeaders } from 'node:http';
import { isIP } from 'node:net';
import { ApiError } from '../errors.js';
import { text } from '../kinds/parsers.js';
import type { Authenticator } from './authenticator.js';
import { header } from './authenticator.js';

/** The project of those who name none. */
const PROJECT = 'default';
/** As long as a store's key may hold. */
const projectId = text(255);

export const noAuthentication: Authenticator = {
  authenticate({ headers, localPort }) {
    if (localPort !== undefined) refuseBrowsers(headers, localPort);
    const roles = header(headers, 'x-roles');
    const userId = header(headers, 'x-user-id') ?? 'admin';
    return Promise.resolve({
      userId,
      userName: header(headers, 'x-user-name') ?? userId,
      projectId: projectId(
        header(headers, 'x-project-id') ?? header(headers, 'x-tenant-id') ?? PROJECT,
        'X-Project-Id',
      ),
      roles: roles === undefined ? ['admin'] : roles.split(',').map((role) => role.trim().toLowerCase()),
    });
  },
};

/**
 * A browser names the address that it thinks it asks, exactly; and it cannot help saying that it is one. Who is none may have come
 * through a tunnel or a proxy: of his Host no more is asked than that it is no name which somebody's name service gives a meaning.
 */
function refuseBrowsers(headers: IncomingHttpHeaders, port: number): void {
  const host = header(headers, 'host') ?? '';
  if (!isBrowser(headers)) {
    if (host.includes('.') && !isLoopback(host))
      throw refused(`Host ${JSON.stringify(host.slice(0, 80))} is another one`);
    return;
  }
  if (!isOurs(host, port))
    throw refused(`Host ${JSON.stringify(host.slice(0, 80))} is not the address that this API listens on`);
  const { origin } = headers;
  if (origin !== undefined && origin !== `http://${host}` && origin !== `https://${host}`)
    throw refused(`Origin ${JSON.stringify(origin.slice(0, 80))} is another one`);
  // Neutron takes any type, and clients send many; what a page can make a browser send without asking is never JSON.
  if (hasBody(headers) && !isJson(header(headers, 'content-type') ?? ''))
    throw refused('a browser’s request must have the content type application/json');
}

function refused(why: string): ApiError {
  return new ApiError('Forbidden', `Without authentication no browser is served for other sites: ${why}.`);
}

/** The names by which this host is itself, for itself: none that somebody else's name service could give another meaning. */
function isOurs(host: string, port: number): boolean {
  const [, own = '80'] = /:(\d{1,5})$/.exec(host) ?? [];
  return isLoopback(host) && Number(own) === port;
}

function isLoopback(host: string): boolean {
  const [, name = ''] = /^(\[[0-9a-f:.]+\]|[^:]+)(?::\d{1,5})?$/i.exec(host) ?? [];
  return name === 'localhost' || name === '[::1]' || (isIP(name) === 4 && name.startsWith('127.'));
}

/** Node's `fetch` says `sec-fetch-mode`, too; the others are a browser's alone. */
function isBrowser(headers: IncomingHttpHeaders): boolean {
  return (
    ['origin', 'referer', 'sec-fetch-site', 'sec-fetch-dest', 'cookie'].some((name) => headers[name] !== undefined) ||
    /^Mozilla\//i.test(headers['user-agent'] ?? '')
  );
}

function hasBody(headers: IncomingHttpHeaders): boolean {
  return headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0';
}

function isJson(type: string): boolean {
  return /^application\/(?:[\w.-]+\+)?json\s*(?:;|$)/i.test(type);
}
