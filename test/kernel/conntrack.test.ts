/** Marks of live flows, over netlink: as many as are sent at once, also where some are gone before they are marked. */
import { execa } from 'execa';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Answering } from './lab/answering.js';
import { makeNamespace, namespaceName } from './lab/namespace.js';

const PLACE = namespaceName('flows');
const inside = ['netns', 'exec', PLACE];
/** More than go out at once, and one more. */
const OF_EACH_KIND = 501;

let marker: Answering;
let remove: () => void;

beforeAll(async () => {
  remove = await makeNamespace(PLACE);
  marker = new Answering(PLACE, 'mark');
  const lines = Array.from({ length: OF_EACH_KIND }, (_, index) => [
    `-I -p udp -s 10.0.0.1 -d 192.0.2.1 --sport ${(1000 + index).toString()} --dport 53 -t 600 --mark 1`,
    `-I -p udp -s fd00::1 -d 2001:db8::1 --sport ${(1000 + index).toString()} --dport 53 -t 600`,
    `-I -p tcp -s 10.0.0.1 -d 192.0.2.1 --sport ${(1000 + index).toString()} --dport 22 -t 600 --state ESTABLISHED -u SEEN_REPLY`,
  ]);
  // It opens its standard input by name, which a socket does not let it.
  await execa('ip', [...inside, 'sh', '-c', 'cat | conntrack -R -'], { input: `${lines.flat().join('\n')}\n` });
});
afterAll(() => {
  marker.end();
  remove();
});

/** How many flows have each mark. */
async function marks(): Promise<Readonly<Record<string, number>>> {
  const counts: Record<string, number> = {};
  for (const family of ['ipv4', 'ipv6']) {
    const { stdout } = await execa('ip', [...inside, 'conntrack', '-L', '-f', family]);
    for (const [, mark = ''] of stdout.matchAll(/ mark=(\d+)/g)) counts[mark] = (counts[mark] ?? 0) + 1;
  }
  return counts;
}

it('each flow that is still there is marked, and counted; other bits stay', async () => {
  expect(await marker.ask('list')).toBe((3 * OF_EACH_KIND).toString());
  expect(await marker.ask('set 4')).toBe((3 * OF_EACH_KIND).toString());
  expect(await marks()).toEqual({ 4: 2 * OF_EACH_KIND, 5: OF_EACH_KIND });

  // A third of those that go out at once, and four more.
  await execa('ip', [...inside, 'conntrack', '-D', '-p', 'tcp']);
  for (const port of [1000, 1250, 1499, 1500]) {
    await execa('ip', [...inside, 'conntrack', '-D', '-p', 'udp', '-s', '10.0.0.1', '--sport', port.toString()]);
  }
  expect(await marker.ask('set 8')).toBe((2 * OF_EACH_KIND - 4).toString());
  expect(await marks()).toEqual({ 12: OF_EACH_KIND, 13: OF_EACH_KIND - 4 });
  expect(await marker.ask('clear 4')).toBe((2 * OF_EACH_KIND - 4).toString());
  expect(await marks()).toEqual({ 8: OF_EACH_KIND, 9: OF_EACH_KIND - 4 });
});

it('none is marked where all are gone, and none where there are none', async () => {
  await execa('ip', [...inside, 'conntrack', '-F']);
  expect(await marker.ask('set 16')).toBe('0');
  expect(await marks()).toEqual({});
  expect(await marker.ask('list')).toBe('0');
  expect(await marker.ask('set 16')).toBe('0');
});
