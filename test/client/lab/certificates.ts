/** Certificates of a test's own authority, made by openssl. */
import { execFileSync } from 'node:child_process';
import { renameSync, writeFileSync } from 'node:fs';
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

  /**
   * Of somebody, for 127.0.0.1 too.
   * @param name of the files, and of the holder where the terms say no other one.
   */
  issue(name: string, { commonName = name, lifetime = DAY, addresses = [] }: Terms = {}): Pair {
    const [cert, key, request, more] = ['.pem', '-key.pem', '.csr', '.cnf'].map((end) =>
      join(this.folder, `${name}${end}`),
    ) as [string, string, string, string];
    writeFileSync(more, `subjectAltName=${['127.0.0.1', ...addresses].map((one) => `IP:${one}`).join(',')}\n`);
    this.#openssl('req', ...NEW_KEY, '-keyout', key, '-out', request, '-subj', `/CN=${commonName}`);
    const signing = ['x509', '-req', '-in', request, '-CA', this.ca, '-CAkey', this.#key, '-CAcreateserial'];
    const made = ['openssl', ...signing, '-out', cert, '-days', '1', '-extfile', more];
    // A certificate lives for whole days: one that ends sooner was made as much earlier.
    const [program = '', ...args] = lifetime < DAY ? ['faketime', '-f', `-${DAY - lifetime}s`, ...made] : made;
    execFileSync(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    return { cert, key };
  }

  #openssl(...args: readonly string[]): void {
    execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  }
}

/** Puts a pair in place of another one, as who renews certificates does. */
export function replacePair(old: Pair, by: Pair): void {
  renameSync(by.key, old.key);
  renameSync(by.cert, old.cert);
}

interface Terms {
  readonly commonName?: string;
  /** In seconds, a day at most. */
  readonly lifetime?: number;
  /** Of the holder, beside loopback. */
  readonly addresses?: readonly string[];
}

/** In seconds. */
const DAY = 86_400;

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
