/** A real Keystone on loopback (test/conformance/real-keystone.py), and what an administrator tells it. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { mkdirSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { forgetFaketime } from '../support/faketime.js';
import { PYTHON } from '../support/python.js';
import { lastLines, progressing, within } from '../support/waiting.js';

const PROGRAM = 'test/conformance/real-keystone.py';

/** Why no Keystone can run here; undefined when one can. */
export function keystoneObstacle(): string | undefined {
  const isThere = spawnSync(PYTHON, ['-c', 'import keystone'], { stdio: 'ignore' }).status === 0;
  return isThere ? undefined : 'Debian’s package python3-keystone is not installed';
}

type Fields = Readonly<Record<string, unknown>>;

export interface Identified {
  readonly id: string;
}

/** How somebody proves who he is, and for what. */
export interface Login {
  readonly user: string;
  /** As keystone's API has it: `{ project: { id } }`, `{ system: { all: true } }`, ...; none for a token that is for nothing. */
  readonly scope?: Fields;
}

export class RealKeystone {
  #child: ChildProcess | undefined;
  #url = '';
  #output = '';

  /** @param folder where everything of it is; made if it is not there */
  constructor(private readonly folder: string) {
    mkdirSync(folder, { recursive: true });
  }

  readonly said = (): string => lastLines(this.#output);

  /** `http://127.0.0.1:PORT/v3` */
  get url(): string {
    return `${this.#url}v3`;
  }

  /** @param clock how far its clock is from ours, as faketime(1) has it: `-25h` */
  async start(clock?: string): Promise<void> {
    const shifted = clock === undefined ? [] : ['faketime', '-f', clock];
    const [first = '', ...args]: readonly string[] = [...shifted, PYTHON, PROGRAM, this.folder];
    // It ends with its standard input: with us, however we end. A group of its own: faketime may stand between.
    const child = spawn(first, args, { stdio: ['pipe', 'pipe', 'pipe'], detached: true });
    this.#child = child;
    child.stderr.on('data', (chunk: Buffer) => (this.#output += chunk.toString()));
    let url: string | undefined;
    let why: string | undefined;
    createInterface({ input: child.stdout }).on('line', (line) => {
      this.#output += `${line}\n`;
      if (line.startsWith('{"url"')) url = (JSON.parse(line) as { readonly url: string }).url;
    });
    child.once('error', (error) => (why = error.message));
    child.once('close', (code) => (why = `it ended with ${String(code)}`));
    // Its set-up is a minute's work on a busy machine, and says nothing but what it writes.
    await progressing(
      () => 'Keystone to serve',
      () => {
        if (why !== undefined) throw new Error(`Keystone: ${why}:\n${this.said()}`);
        return url !== undefined;
      },
      () => this.#written(),
    );
    this.#url = url ?? '';
  }

  /** Bytes in the files of its folder. */
  #written(): number {
    return readdirSync(this.folder, { withFileTypes: true })
      .filter((entry) => entry.isFile())
      .reduce((sum, { name }) => sum + (statSync(join(this.folder, name), { throwIfNoEntry: false })?.size ?? 0), 0);
  }

  /** Kills it. */
  async end(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const closed = new Promise((resolve) => child.once('close', resolve));
    process.kill(-child.pid, 'SIGKILL');
    await within('Keystone to end', closed, this.said);
    forgetFaketime(child.pid);
  }

  /** What has to be done. @throws Error with the whole answer when it is refused */
  async must(
    method: string,
    path: string,
    token: string | undefined,
    body?: Fields,
    more: Readonly<Record<string, string>> = {},
  ): Promise<Response> {
    const response = await fetch(`${this.url}${path}`, {
      method,
      headers: {
        'Content-Type': 'application/json',
        ...(token === undefined ? {} : { 'X-Auth-Token': token }),
        ...more,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (!response.ok) {
      const text = await response.text();
      throw new Error(`Keystone: ${method} ${path}: ${response.status} ${text}\nKeystone said last:\n${this.said()}`);
    }
    return response;
  }

  /** @param kind `project`, `user`, ... @returns its id */
  async make(kind: string, fields: Fields, token: string, path = `/${kind}s`): Promise<string> {
    const response = await this.must('POST', path, token, { [kind]: fields });
    return ((await response.json()) as Readonly<Record<string, Identified>>)[kind]?.id ?? '';
  }

  /** A token by password, which is `secret` for everybody here. */
  async token({ user, scope }: Login): Promise<string> {
    const domain = { id: 'default' };
    return this.tokenFor({
      identity: { methods: ['password'], password: { user: { name: user, domain, password: 'secret' } } },
      ...(scope === undefined ? { scope: 'unscoped' } : { scope }),
    });
  }

  /** @param auth as keystone's API has it */
  async tokenFor(auth: Fields): Promise<string> {
    const response = await this.must('POST', '/auth/tokens', undefined, { auth });
    return response.headers.get('x-subject-token') ?? '';
  }

  /** Makes the catalog name a service. */
  async register(type: string, url: string, token: string): Promise<void> {
    const service = await this.make('service', { type, name: type }, token);
    for (const side of ['public', 'internal', 'admin']) {
      await this.make('endpoint', { service_id: service, interface: side, region_id: 'RegionOne', url }, token);
    }
  }
}
