/**
 * Packets that are under way while the rules change. A commit of the kernel is not one moment for them (`printStages`); a flood has one
 * at every place at every time, so that what may happen to one in a million is seen within seconds.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { execa } from 'execa';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { compile, DEFAULT_OPTIONS, planTransaction, printStages, stateOf, type Table } from '../../compiler/index.js';
import { Network } from '../../src/cli/demo/network.js';
import { parseTopology } from '../../compiler/model/index.js';
import { step } from '../support/progress.js';
import { address, allow, CLIENT, EGRESS, NAMED, portFields, SERVER, type Rule } from './lab/pair.js';
import { PYTHON } from '../support/python.js';

/** Before new chains were loaded beforehand, a quiet machine let some three datagrams through in as many changes. */
const CHANGES = 60;

let network: Network;
let children: ChildProcess[];
beforeEach(() => {
  network = new Network('pcflood-');
  children = [];
});
afterEach(async () => {
  await endFloods();
  network.remove();
});

async function endFloods(): Promise<void> {
  for (const child of children.splice(0)) {
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  }
}

async function inNamespace(namespace: string, input: string, ...command: readonly string[]): Promise<string> {
  return (await execa('ip', ['netns', 'exec', namespace, ...command], { input })).stdout;
}

/** @returns its namespace. */
function plug({ device, mac, v4, v6 }: typeof CLIENT): string {
  return network.plug({ id: device.slice(-8), device, mac, fixedIps: [address(v4), address(v6)] });
}

async function flood(namespace: string, to: string, port: number): Promise<void> {
  const command = ['netns', 'exec', namespace, PYTHON, 'test/kernel/lab/flood.py', to, port.toString()];
  const child = spawn('ip', command, { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  await once(child.stdout, 'data');
}

/** Where a guest's datagrams are counted that leave it, or come to it. */
const countedAt = (hook: 'output' | 'prerouting'): string => `table inet pctest {
chain counted { type filter hook ${hook} priority -300; udp dport 53-54 counter; }
}
`;

async function countAt(namespace: string, hook: 'output' | 'prerouting'): Promise<void> {
  await inNamespace(namespace, countedAt(hook), 'nft', '-f', '-');
}

async function counted(namespace: string): Promise<number> {
  const listed = await inNamespace(namespace, '', 'nft', 'list', 'table', 'inet', 'pctest');
  return Number(/counter packets (\d+)/.exec(listed)?.[1]);
}

function tablesOf(document: Rule): readonly Table[] {
  const { topology, problems } = parseTopology([{ file: 'under-way.json', content: document }]);
  expect(problems).toEqual([]);
  return compile(topology, () => true, DEFAULT_OPTIONS).ruleset.tables;
}

const GROUPS = [
  { id: 'silent', name: 'silent', security_group_rules: [] },
  { id: 'other', name: 'other', security_group_rules: [] },
  { id: 'sending', name: 'sending', security_group_rules: EGRESS },
  { id: 'web', name: 'web', security_group_rules: [allow('udp', 53), allow('udp', 53, { ethertype: 'IPv6' })] },
  {
    id: 'open',
    name: 'open',
    security_group_rules: [{ direction: 'ingress' }, { direction: 'ingress', ethertype: 'IPv6' }],
  },
];
/** Each with the groups of the sender and of the receiver, before and after: none lets port 54 through. */
const BETWEEN = [
  [
    'the receiver’s groups',
    SERVER,
    [
      ['sending', 'web'],
      ['sending', 'web', 'other'],
    ],
  ],
  [
    'the groups of a receiver that no managed prefix closes',
    NAMED,
    [
      ['sending', 'web'],
      ['sending', 'web', 'other'],
    ],
  ],
  [
    'the sender’s groups',
    SERVER,
    [
      ['silent', 'open'],
      ['other', 'open'],
    ],
  ],
] as const;

/** Loads one after the other, by turns. */
async function alternate(policies: readonly (readonly Table[])[], changes: number): Promise<void> {
  for (let change = 0; change < changes; change++) {
    const [from = [], to = []] = change % 2 === 0 ? policies : [...policies].reverse();
    for (const text of printStages(planTransaction(to, from.map(stateOf)))) {
      await inNamespace(network.host, text, 'nft', '-f', '-');
    }
    step('changed');
  }
}

it.each(BETWEEN)('while %s change, nothing passes that none of them lets pass', async (_what, to, groups) => {
  const [sender, receiver] = [plug(CLIENT), plug(to)];
  await countAt(sender, 'output');
  await countAt(receiver, 'prerouting');
  const policies = groups.map(([sends, ...receives]) =>
    tablesOf({
      security_groups: GROUPS,
      ports: [portFields(CLIENT, [sends]), { ...portFields(to, receives), device: to.device }],
    }),
  );
  await alternate([[], policies[0] ?? []], 1);
  for (const target of [to.v4, to.v6]) {
    await flood(sender, target, 54);
    await alternate(policies, CHANGES / 2);
    expect(await counted(receiver)).toBe(0);
    await endFloods();
  }
  expect(await counted(sender)).toBeGreaterThan(CHANGES);
});

const range = (first: number, last: number, fields: Rule = {}): Rule => ({
  ...allow('udp', first, fields),
  port_range_max: last,
});
/** A group without 54-55 and with it, as its sets of ranges have it: two are left. */
const ranges = (has54: boolean, fields: Rule = {}): Rule => ({
  id: 'ranges',
  security_group_rules: [...(has54 ? [range(54, 55, fields)] : []), range(60, 61, fields), range(70, 71, fields)],
});
const FOURTH = { device: 'tapfourth00-00', mac: 'fa:16:3e:00:00:08', v4: '10.0.0.8', v6: 'fd00::8' };
const THIRD = { device: 'tapthird000-00', mac: 'fa:16:3e:00:00:09', v4: '10.0.0.9', v6: 'fd00::9' };
/** Addresses that go with the range: what counts at the end of a commit counts the later, the more there is in it. */
const MANY = Array.from({ length: 4000 }, (_, index) => `10.8.${(index >> 8).toString()}.${(index & 255).toString()}`);
const BULK = { id: 'bulk', security_group_rules: [{ direction: 'ingress', remote_address_group_id: 'bulk' }] };
/** Where the group has the range, nobody is there whom it would let 54 through to or from, and the other way round. */
const comings = (isThere: boolean, server: string, fields: Rule = {}): Rule => ({
  // Each datagram is judged, not the first one alone.
  security_groups: [...GROUPS, BULK, ranges(!isThere, fields)].map((group) => ({ ...group, stateful: false })),
  address_groups: [
    { id: 'friends', addresses: ['10.9.0.1', ...(isThere ? [CLIENT.v4] : [])] },
    { id: 'bulk', addresses: isThere ? ['10.9.0.1'] : MANY },
  ],
  ports: [
    portFields(CLIENT, ['sending']),
    portFields(SERVER, [server]),
    portFields(THIRD, ['ranges']),
    portFields(FOURTH, ['bulk']),
  ],
});
const COMING: readonly (readonly [string, (isThere: boolean) => Rule])[] = [
  [
    'a member comes to an address group',
    (isThere) => comings(isThere, 'ranges', { remote_address_group_id: 'friends' }),
  ],
  ['a port comes to a group', (isThere) => comings(isThere, isThere ? 'ranges' : 'silent')],
];
/** Before members came behind, and ranges went before ports came, some hundred datagrams passed in each. */
const COMINGS = 6;
/** A packet whose processor stands still for as long as the walk takes, as a virtual one may, passes (docs/decisions/stages.md): one or two, and not again. */
const STANDING = 2;

it.each(COMING)('while %s and a range of ports goes, nothing passes by that range', async (_what, documentFor) => {
  const [sender, receiver] = [plug(CLIENT), plug(SERVER)];
  await countAt(sender, 'output');
  await countAt(receiver, 'prerouting');
  const policies = [false, true].map((isThere) => tablesOf(documentFor(isThere)));
  await alternate([[], policies[0] ?? []], 1);
  await flood(sender, SERVER.v4, 54);
  await alternate(policies, 2 * COMINGS);
  const stood = await counted(receiver);
  if (stood > 0) {
    expect(stood).toBeLessThanOrEqual(STANDING);
    await alternate(policies, 2 * COMINGS);
  }
  expect((await counted(receiver)) - stood).toBe(0);
  expect(await counted(sender)).toBeGreaterThan(COMINGS);
});

it('while all tables go and come again, nothing is lost that they let pass', async () => {
  const [sender, receiver] = [plug(CLIENT), plug(SERVER)];
  await countAt(sender, 'output');
  await countAt(receiver, 'prerouting');
  const policy = tablesOf({
    // Each datagram is judged, not the first one alone.
    security_groups: GROUPS.map((group) => ({ ...group, stateful: false })),
    ports: [portFields(CLIENT, ['sending']), portFields(SERVER, ['web'])],
  });
  await alternate([[], policy], 1);
  for (const target of [SERVER.v4, SERVER.v6]) {
    await flood(sender, target, 53);
    await alternate([policy, []], CHANGES / 2);
    await endFloods();
    expect(await counted(receiver)).toBe(await counted(sender));
  }
});
