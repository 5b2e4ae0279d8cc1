// A real Keystone (test/conformance/real-keystone.py), and what its administrator tells it.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { PYTHON } from './debian.mjs';
import { serve } from './processes.mjs';

const DOMAIN = { id: 'default' };

export class Keystone {
  #daemon;

  /** @param folder of its own; made if it is not there. @param lifetime of tokens, in seconds */
  static async start(root, folder, lifetime = 86_400) {
    mkdirSync(folder, { recursive: true });
    const keystone = new Keystone();
    keystone.#daemon = await serve(
      PYTHON,
      [join(root, 'test', 'conformance', 'real-keystone.py'), folder, `${lifetime}`],
      {
        isReady: (line) => (line.startsWith('{"url"') ? JSON.parse(line).url : undefined),
      },
    );
    return keystone;
  }

  /** `http://127.0.0.1:PORT/` */
  get url() {
    return this.#daemon.ready;
  }

  async end() {
    await this.#daemon.end();
  }

  /** Makes one: `project`, `user`, ... @returns its id */
  async make(kind, fields, path = `${kind}s`) {
    const { answer } = await this.#ask('POST', path, { [kind]: fields }, await this.token('admin', 'admin'));
    return answer[kind].id;
  }

  /** All of them: `projects`, ... */
  async list(path) {
    return (await this.#ask('GET', path, undefined, await this.token('admin', 'admin'))).answer[path];
  }

  /** Changes one: `users`, id, ... */
  async change(path, kind, fields) {
    await this.#ask('PATCH', path, { [kind]: fields }, await this.token('admin', 'admin'));
  }

  async grant(user, project, role) {
    const token = await this.token('admin', 'admin');
    const { answer } = await this.#ask('GET', `roles?name=${role}`, undefined, token);
    const id = answer.roles[0]?.id ?? (await this.make('role', { name: role }));
    await this.#ask('PUT', `projects/${project}/users/${user}/roles/${id}`, undefined, token);
  }

  /** Makes the catalog name a service. */
  async register(type, url) {
    const service = await this.make('service', { type, name: type });
    for (const side of ['public', 'internal', 'admin']) {
      await this.make('endpoint', { service_id: service, interface: side, region_id: 'RegionOne', url });
    }
  }

  /** By password, which is `secret` for everybody. */
  async token(user, project) {
    const { headers } = await this.#ask('POST', 'auth/tokens', {
      auth: {
        identity: { methods: ['password'], password: { user: { name: user, domain: DOMAIN, password: 'secret' } } },
        scope: { project: { name: project, domain: DOMAIN } },
      },
    });
    return headers.get('x-subject-token');
  }

  async #ask(method, path, body, token) {
    const response = await globalThis.fetch(`${this.url}v3/${path}`, {
      method,
      headers: { 'Content-Type': 'application/json', ...(token === undefined ? {} : { 'X-Auth-Token': token }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`keystone: ${method} ${path}: ${response.status} ${text}`);
    return { answer: text === '' ? undefined : JSON.parse(text), headers: response.headers };
  }
}
