/** docs/api.md lists what is there and what is not, route by route. */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { Tokens } from '../../../src/api/auth/tokens.js';
import { TestApi } from '../../support/api.js';

/** `METHOD /path` of each line of the blocks of a name. */
function documented(name: string): readonly string[] {
  const text = readFileSync('docs/api.md', 'utf8');
  const blocks = [...text.matchAll(new RegExp(`^\`\`\`${name}\n(.*?)^\`\`\``, 'gms'))].map(([, block = '']) => block);
  return blocks
    .flatMap((block) => block.trim().split('\n'))
    .flatMap((line) => {
      const words = line.trim().split(/\s+/);
      const path = (words.pop() ?? '').replace(/\{(\w+)\}/g, ':$1');
      return words.map((method) => `${method} ${path}`);
    });
}

/** What Fastify prints of its routes, as `METHOD /path`. */
function registered(printed: string): readonly string[] {
  const parts: string[] = [];
  return printed.split('\n').flatMap((line) => {
    const [, indent = '', part, methods = ''] = /^((?:[│ ] {3})*)[├└]── (\S+)(?: \(([^)]*)\))?/.exec(line) ?? [];
    if (part === undefined) return [];
    parts.splice(indent.length / 4, Infinity, part);
    const path = parts.join('').replace('//', '/');
    return methods === '' ? [] : methods.split(', ').map((method) => `${method} ${path}`);
  });
}

async function registeredRoutes(): Promise<readonly string[]> {
  const api = await TestApi.open(undefined, new Tokens({ projects: [], users: [], tokens: [] }));
  return registered(api.app.printRoutes({ commonPrefix: false }));
}

it('what is there is what is registered', async () => {
  const routes = await registeredRoutes();
  const [below, own] = [
    routes.filter((route) => route.includes(' /network')),
    routes.filter((route) => !route.includes(' /network')),
  ];
  expect(documented('there').toSorted()).toEqual(own.toSorted());
  // The same once more, for a catalog that names it so.
  const again = own
    .filter((route) => route.includes(' /v2.0'))
    .map((route) => route.replace(' /v2.0', ' /network/v2.0'));
  expect(below.toSorted()).toEqual([...again, 'GET /network'].toSorted());
});

it('what is not there is not registered, and is a 404', async () => {
  const api = await TestApi.open();
  const missing = documented('not-there');
  expect(missing.length).toBeGreaterThan(300);
  expect(new Set(missing).size).toBe(missing.length);
  const anything = (route: string): string => route.replace(/:\w+/g, ':id');
  const known = new Set((await registeredRoutes()).map(anything));
  expect(missing.filter((route) => known.has(anything(route)))).toEqual([]);
  for (const route of missing) {
    const [method = '', path = ''] = route.split(' ');
    const url = path.replace(/:\w+/g, 'x');
    const { statusCode } = await api.app.inject({ method: method as 'GET', url, headers: { 'x-project-id': 'a' } });
    expect([route, statusCode]).toEqual([route, 404]);
  }
});

it('actions that are not there are a 400', async () => {
  const api = await TestApi.open();
  const made = await api.call('POST', '/compute/v2.1/servers', {
    server: { name: 'x', flavorRef: '1', networks: 'none' },
  });
  const { id } = made.body['server'] as { readonly id: string };
  const actions = /^```no-action\n(.*?)^```/ms.exec(readFileSync('docs/api.md', 'utf8'))?.[1]?.trim().split('\n') ?? [];
  expect(actions.length).toBeGreaterThan(30);
  for (const action of actions) {
    const { status } = await api.call('POST', `/compute/v2.1/servers/${id}/action`, { [action]: null });
    expect([action, status]).toEqual([action, 400]);
  }
});
