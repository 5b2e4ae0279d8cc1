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
  readonly #configuration: string;

  /** @param folder for all files; who makes it removes it. */
  constructor(private readonly folder: string) {
    this.ca = join(folder, 'ca.pem');
    this.#key = join(folder, 'ca-key.pem');
    this.#configuration = join(folder, 'ca.cnf');
    const database = join(folder, 'ca-database');
    writeFileSync(database, '');
    writeFileSync(this.#configuration, configuration(folder, database));
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
    const now = Date.now();
    // A clock that is a little behind does not matter.
    const [start, end] = [now - 1000 * DAY, now + 1000 * lifetime].map((at) => openSslTime(new Date(at)));
    const valid = ['-startdate', start ?? '', '-enddate', end ?? ''];
    const signing = [
      'ca',
      '-batch',
      '-notext',
      '-config',
      this.#configuration,
      '-cert',
      this.ca,
      '-keyfile',
      this.#key,
    ];
    this.#openssl(...signing, ...valid, '-in', request, '-out', cert, '-extfile', more);
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

function configuration(folder: string, database: string): string {
  const own = [`new_certs_dir = ${folder}`, `database = ${database}`, 'rand_serial = yes', 'unique_subject = no'];
  return [
    '[ca]',
    'default_ca = own',
    '[own]',
    ...own,
    'default_md = sha256',
    'policy = any',
    '[any]',
    'commonName = supplied',
    '',
  ].join('\n');
}

/** `YYYYMMDDHHMMSSZ`, as openssl-ca(1) wants it. */
function openSslTime(at: Date): string {
  return `${at.toISOString().replaceAll(/[-:T]|\..*/g, '')}Z`;
}

interface Terms {
  readonly commonName?: string;
  /** In seconds; of one that has expired, negative. */
  readonly lifetime?: number;
  /** Of the holder, beside loopback. */
  readonly addresses?: readonly string[];
}

/** In seconds. */
const DAY = 86_400;

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
