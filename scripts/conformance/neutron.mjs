// A real Neutron with a real Keystone (test/conformance/real-neutron.py), and whoever asks it for something.
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { obstacle, PYTHON } from './debian.mjs';
import { Keystone } from './keystone.mjs';
import { serve } from './processes.mjs';

const MOST_TRIES = 5;
const PASTE = '/etc/neutron/api-paste.ini';

/** Why there can be none here; undefined when it can. */
export function neutronObstacle() {
  const why = obstacle(['neutron', 'keystone'], ['neutron-common', 'python3-neutron', 'python3-keystone']);
  return why ?? (existsSync(PASTE) ? undefined : `${PASTE} is not there (Debian's neutron-common)`);
}

/**
 * Both, with users admin and demo, who has a project of that name; the password is `secret`.
 * @param daemons what was started is put there: to be ended from the end
 * @param args of real-neutron.py. @param lifetime of tokens, in seconds
 */
export async function cloud(root, folder, daemons, { args = [], lifetime } = {}) {
  const keystone = await Keystone.start(root, join(folder, 'keystone'), lifetime);
  daemons.push(keystone);
  for (const [user, project, roles] of [
    ['neutron', 'service', ['service', 'admin']],
    ['demo', 'demo', ['member']],
  ]) {
    const made = await keystone.make('project', { name: project });
    const who = await keystone.make('user', { name: user, password: 'secret' });
    for (const role of roles) await keystone.grant(who, made, role);
  }
  const neutron = await startNeutron(root, folder, keystone, args);
  daemons.push(neutron);
  await keystone.register('network', neutron.ready);
  return { keystone, neutron };
}

/** The one of that folder. */
export async function startNeutron(root, folder, keystone, args) {
  mkdirSync(join(folder, 'neutron'), { recursive: true });
  const program = join(root, 'test', 'conformance', 'real-neutron.py');
  return serve(PYTHON, [program, join(folder, 'neutron'), keystone.url, ...args], {
    isReady: (line) => (line.startsWith('{"url"') ? JSON.parse(line).url : undefined),
  });
}

export class Neutron {
  /** @param token or a function that gives one */
  constructor(url, token) {
    this.url = url;
    this.token = token;
  }

  /** Once more where it fails by itself: its sqlite has one writer, and says so to whoever comes second. */
  async ask(method, path, body) {
    for (let tries = 1; ; tries++) {
      const token = typeof this.token === 'function' ? await this.token() : this.token;
      const response = await globalThis.fetch(`${this.url}/v2.0/${path}`, {
        method,
        headers: { 'Content-Type': 'application/json', 'X-Auth-Token': token },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const text = await response.text();
      if (response.ok) return text === '' ? undefined : JSON.parse(text);
      if (response.status < 500 || tries === MOST_TRIES)
        throw new Error(`neutron: ${method} ${path}: ${response.status} ${text}`);
    }
  }

  async make(kind, fields) {
    const plural = kind.endsWith('y') ? `${kind.slice(0, -1)}ies` : `${kind}s`;
    return (await this.ask('POST', plural.replaceAll('_', '-'), { [kind]: fields }))[kind];
  }

  /** One by one, so that pages have nothing to do with it. Neutron knows no pages of policies: it gives all of them each time. */
  async all(list) {
    const path = list.replaceAll('_', '-');
    const ids = new Set();
    for (let marker = '', before = -1; ids.size > before; marker = `&marker=${[...ids].at(-1) ?? ''}`) {
      before = ids.size;
      for (const { id } of (await this.ask('GET', `${path}?fields=id&limit=3${marker}`))[list]) ids.add(id);
    }
    const objects = [];
    for (const id of ids) objects.push(Object.values(await this.ask('GET', `${path}/${id}`))[0]);
    return objects;
  }
}
