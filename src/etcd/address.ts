/** Where etcd is: `etcd:https://HOST:PORT[,https://HOST:PORT…][/PREFIX]`. */
import { isIP } from 'node:net';

export interface EtcdAddress {
  /** `HOST:PORT`, each a member of one cluster. */
  readonly endpoints: readonly string[];
  readonly isTls: boolean;
  /** All keys begin with it; ends with a slash. */
  readonly prefix: string;
}

/** An address or a file that cannot be used; one line. */
export class EtcdAddressError extends Error {
  override readonly name = 'EtcdAddressError';
}

const VALID = 'valid is etcd:https://HOST:PORT[,https://HOST:PORT…][/PREFIX]; http only on loopback';

export function isEtcdAddress(text: string): boolean {
  return text.startsWith('etcd:');
}

/** @throws EtcdAddressError */
export function parseEtcdAddress(text: string): EtcdAddress {
  const refuse = (why: string): never => {
    throw new EtcdAddressError(`${JSON.stringify(text)}: ${why}: ${VALID}`);
  };
  const parts = text.slice('etcd:'.length).split(',');
  const urls = parts.map((part) => (URL.canParse(part) ? new URL(part) : refuse(`${JSON.stringify(part)} is no URL`)));
  const [first] = urls;
  if (first === undefined) return refuse('no member is named');
  const prefix = urls.at(-1)?.pathname ?? '/';
  for (const [index, url] of urls.entries()) {
    if (!['https:', 'http:'].includes(url.protocol)) refuse(`${url.protocol} is no protocol that etcd speaks`);
    if (url.protocol !== first.protocol) refuse('members with and without TLS');
    if (url.protocol === 'http:' && !isLoopbackName(url.hostname)) refuse(`${url.hostname} without TLS`);
    if (url.username !== '' || url.password !== '')
      refuse('user and password belong in --etcd-user and --etcd-password');
    if (url.search !== '' || url.hash !== '') refuse('nothing may follow the prefix');
    if (index < urls.length - 1 && url.pathname !== '/') refuse('the prefix stands behind the last member');
  }
  if (!/^(?:\/[A-Za-z0-9._-]+)*\/?$/.test(prefix))
    refuse('a prefix consists of letters, digits, ".", "_", "-" and "/"');
  return {
    endpoints: [...new Set(urls.map(({ hostname }, index) => `${hostname}:${portOf(parts[index] ?? '')}`))],
    isTls: first.protocol === 'https:',
    prefix: prefix === '/' ? '/portcullis/' : `${prefix.replace(/\/$/, '')}/`,
  };
}

/** As it was written: a URL leaves out the usual one of its protocol, which is not etcd's. */
function portOf(url: string): string {
  const [, port = '2379'] = /^[^/]*\/\/[^/]*:(\d+)(?:\/|$)/.exec(url) ?? [];
  return Number(port).toString();
}

/** For people. */
export function etcdName({ endpoints, prefix }: EtcdAddress): string {
  return `etcd:${endpoints.join(',')}${prefix.slice(0, -1)}`;
}

function isLoopbackName(host: string): boolean {
  const bare = host.replace(/^\[|\]$/g, '');
  return bare === 'localhost' || bare === '::1' || (isIP(bare) === 4 && bare.startsWith('127.'));
}
