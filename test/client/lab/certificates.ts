/** Certificates of a test's own authority, made by openssl. */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Pair {
  readonly cert: string;
  readonly key: string;
}

export class Authority {
  readonly ca: string;
  readonly #key: string;

  /** @param folder for all files; who makes it removes it. */
  constructor(private readonly folder: string) {
    this.ca = join(folder, 'ca.pem');
    this.#key = join(folder, 'ca-key.pem');
    this.#openssl(
      'req',
      '-x509',
      ...NEW_KEY,
      '-keyout',
      this.#key,
      '-out',
      this.ca,
      '-subj',
      '/CN=authority',
      '-days',
      '2',
    );
  }

  /** Of somebody, for 127.0.0.1 too. */
  issue(name: string): Pair {
    const [cert, key, request, more] = ['.pem', '-key.pem', '.csr', '.cnf'].map((end) =>
      join(this.folder, `${name}${end}`),
    ) as [string, string, string, string];
    writeFileSync(more, 'subjectAltName=IP:127.0.0.1\n');
    this.#openssl('req', ...NEW_KEY, '-keyout', key, '-out', request, '-subj', `/CN=${name}`);
    this.#openssl(
      'x509',
      '-req',
      '-in',
      request,
      '-CA',
      this.ca,
      '-CAkey',
      this.#key,
      '-CAcreateserial',
      '-out',
      cert,
      '-days',
      '2',
      '-extfile',
      more,
    );
    return { cert, key };
  }

  #openssl(...args: readonly string[]): void {
    execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  }
}

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
