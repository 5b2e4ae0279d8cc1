/** Which device a port has, through everything that links do. */
import { describe, expect, it } from 'vitest';
import { deviceOf } from '../../../agent/binder.js';
import { LinkTable } from '../../../agent/devices.js';
import type { Link } from '../../../agent/netlink/links.js';
import { parseTopology, type Port } from '../../../compiler/model/index.js';

const link = (index: number, name: string, alias = ''): Link => ({
  index,
  name,
  alias,
  master: 0,
  isUp: true,
  kind: 'tun',
});

function port(fields: Readonly<Record<string, unknown>> = {}): Port {
  const content = {
    ports: [
      { id: 'aaaaaaaa-0000-4000-8000-000000000000', mac_address: 'fa:16:3e:00:00:01', network_id: 'n', ...fields },
    ],
  };
  const [only] = parseTopology([{ file: 'test', content }]).topology.ports.values();
  if (only === undefined) throw new Error('no port');
  return only;
}

const ID = 'aaaaaaaa-0000-4000-8000-000000000000';
const free = (): boolean => false;

describe('a port has the device', () => {
  it('that its source names, then the one of its id, then the one with its alias', () => {
    const links = new LinkTable();
    links.take({ kind: 'links', links: [link(1, 'vnet0'), link(2, 'tapaaaaaaaa-00'), link(3, 'other', `port:${ID}`)] });
    expect(deviceOf(port({ device: 'vnet0' }), links, free)).toBe('vnet0');
    expect(deviceOf(port(), links, free)).toBe('tapaaaaaaaa-00');
    links.take({ kind: 'link-gone', index: 2 });
    expect(deviceOf(port(), links, free)).toBe('other');
    links.take({ kind: 'link-gone', index: 3 });
    expect(deviceOf(port(), links, free)).toBe('tapaaaaaaaa-00');
  });

  it('unless the alias is on a device of another port', () => {
    const links = new LinkTable();
    links.take({ kind: 'links', links: [link(3, 'other', `port:${ID}`)] });
    expect(deviceOf(port(), links, (name) => name === 'other')).toBe('tapaaaaaaaa-00');
  });
});

describe('the table of links', () => {
  it('follows a device that is renamed', () => {
    const links = new LinkTable();
    links.take({ kind: 'link', link: link(1, 'a', `port:${ID}`) });
    const touched = links.take({ kind: 'link', link: link(1, 'b', `port:${ID}`) });
    expect([[...touched.names].sort(), [...touched.ports]]).toEqual([['a', 'b'], [ID]]);
    expect([links.has('a'), links.has('b'), links.aliased(ID)]).toEqual([false, true, 'b']);
  });

  it('keeps a new device of a name when the old one’s end is told after it', () => {
    const links = new LinkTable();
    links.take({ kind: 'link', link: link(1, 'a') });
    links.take({ kind: 'link', link: link(2, 'a') });
    links.take({ kind: 'link-gone', index: 1 });
    expect(links.has('a')).toBe(true);
  });

  it('takes what a list does not name as gone', () => {
    const links = new LinkTable();
    links.take({ kind: 'links', links: [link(1, 'a'), link(2, 'b', `port:${ID}`)] });
    const touched = links.take({ kind: 'links', links: [link(1, 'a')] });
    expect([[...touched.names], [...touched.ports]]).toEqual([['b'], [ID]]);
    expect([links.has('b'), links.aliased(ID)]).toEqual([false, undefined]);
  });

  it('leaves an alias with the older of two devices, and then the other', () => {
    const links = new LinkTable();
    links.take({ kind: 'link', link: link(5, 'young', `port:${ID}`) });
    links.take({ kind: 'link', link: link(4, 'old', `port:${ID}`) });
    expect(links.aliased(ID)).toBe('old');
    links.take({ kind: 'link-gone', index: 4 });
    expect(links.aliased(ID)).toBe('young');
    links.take({ kind: 'link', link: link(5, 'young', '') });
    expect(links.aliased(ID)).toBeUndefined();
  });

  it('says nothing of a link that is told again unchanged', () => {
    const links = new LinkTable();
    links.take({ kind: 'link', link: link(1, 'a') });
    expect(links.take({ kind: 'link', link: { ...link(1, 'a'), isUp: false } }).names.size).toBe(0);
    expect(links.take({ kind: 'link-gone', index: 9 }).names.size).toBe(0);
  });
});
