/** A load that is larger than a datagram: in pieces, of which none is in force before all of them are. docs/decisions/stages.md */
import { expect, it } from 'vitest';
import { compile, DEFAULT_OPTIONS, divideLarge, planTransaction, printTransaction } from '../../compiler/index.js';
import { parseTopology } from '../../compiler/model/index.js';
import { eventually } from '../support/waiting.js';
import { eachWithAgent } from './lab/agent-lab.js';
import type { Lab } from './lab/lab.js';
import { allow, forth, HERE, HOST, PAIR, pairDocument, portFields, reachIn, SERVER, type Rule } from './lab/pair.js';
import type { TestAgent } from './lab/test-agent.js';

const MAIN = 'dist/bin/portcullis.js';
/** Ports that are nowhere yet; as many groups as give each a profile of its own. */
const OTHERS = 600;
const GROUPS = 50;

const hex = (index: number, digits: number): string => index.toString(16).padStart(digits, '0');

function otherPort(index: number): Rule {
  const id = hex(index, 8);
  const v4 = `10.9.${(index >> 8).toString()}.${(index & 255).toString()}`;
  const mac = `fa:16:3f:00:${hex(index >> 8, 2)}:${hex(index & 255, 2)}`;
  const groups = [index % GROUPS, (7 * index + 1) % GROUPS].map((group) => `group-${group.toString()}`);
  return portFields({ device: `tap${id}-00`, mac, v4, v6: `fd00::9:${hex(index, 1)}` }, groups, HERE);
}

function largeDocument(serverRules: readonly Rule[]): Rule {
  const pair = pairDocument(serverRules);
  const groups = Array.from({ length: GROUPS }, (_, index) => ({
    id: `group-${index.toString()}`,
    security_group_rules: [
      allow('tcp', 1000 + index, { remote_group_id: `group-${((index + 1) % GROUPS).toString()}` }),
      allow('sctp', 2000 + index, { ethertype: 'IPv6', port_range_max: 2010 + index }),
    ],
  }));
  const others = Array.from({ length: OTHERS }, (_, index) => otherPort(index));
  return {
    security_groups: [...(pair['security_groups'] as readonly Rule[]), ...groups],
    ports: [...(pair['ports'] as readonly Rule[]), ...others],
  };
}

let lab: Lab;
let agent: TestAgent;
eachWithAgent(PAIR, (one, its) => {
  [lab, agent] = [one, its];
  agent.write(largeDocument([allow('udp', 53)]));
});

const isOpen = async (port: number): Promise<boolean> => {
  const [reached = []] = await reachIn(lab, forth('v4', 17, port));
  return reached.includes(SERVER.device);
};

async function isThere(): Promise<void> {
  const diff = await lab.exec(process.execPath, [MAIN, 'diff', '--host', HOST, '-t', agent.path]);
  expect([diff.exitCode, diff.stdout]).toEqual([0, expect.anything()]);
  expect([await isOpen(53), await isOpen(54)]).toEqual([true, false]);
}

const saidByNft = (): readonly string[] => agent.log().flatMap(({ id, msg }) => (id === 'by-nft' ? [msg] : []));

it.each([
  ['where nothing is loaded', []],
  ['where a baseline closes the host', ['baseline']],
])('goes in without nft, and whoever watches hears all of it: %s', async (_where, command) => {
  if (command.length > 0) await lab.must(process.execPath, [MAIN, ...command]);
  await agent.run({ args: ['--log-level', 'debug'] });
  await isThere();
  const { watching } = await agent.status();
  expect([saidByNft(), watching.losses]).toEqual([[], 0]);
});

it('that an agent dies of leaves what judges no packet, and the next agent completes it', async () => {
  const listed = async (): Promise<string> => (await lab.exec('nft', ['list', 'chains', 'inet'])).stdout;
  agent.start();
  await eventually(async () => (await listed()).includes('chain '));
  await agent.end('SIGKILL');
  const left = await listed();
  // It may have been quicker than the look.
  if (!left.includes('hook')) expect([await isOpen(53), await isOpen(54)]).toEqual([true, true]);
  await agent.run();
  await isThere();
});

it('that was not completed closes nothing, and is no reason for a baseline to leave the host open', async () => {
  const { topology } = parseTopology([{ file: 'large', content: largeDocument([allow('udp', 53)]) }]);
  const { tables } = compile(topology, () => true, DEFAULT_OPTIONS).ruleset;
  const { ahead } = divideLarge(planTransaction(tables, []), 1000);
  expect(ahead.length).toBeGreaterThan(3);
  for (const piece of ahead) await lab.load(printTransaction(piece));
  expect(await isOpen(54)).toBe(true);
  const doctor = await lab.exec(process.execPath, [MAIN, 'doctor', '--socket', agent.socket]);
  expect(doctor.stdout).toContain('2 devices of guests are open');
  await lab.must(process.execPath, [MAIN, 'baseline']);
  expect([await isOpen(53), await isOpen(54)]).toEqual([false, false]);
  await agent.run();
  await isThere();
});

it('that somebody flushes meanwhile is made anew: nothing leads to chains that lost their rules', async () => {
  await lab.must(process.execPath, [MAIN, 'baseline']);
  const listed = async (): Promise<string> => (await lab.exec('nft', ['list', 'chains', 'inet'])).stdout;
  agent.start();
  await eventually(async () => (await listed()).includes('chain profile_'));
  await lab.load('flush table inet portcullis');
  // A watching process that is late closes late, what was mended meanwhile as well: done is what has heard of it.
  await agent.until(
    ({ drift, lastTransaction, settled }) => drift.foreign > 0 && lastTransaction !== undefined && settled,
  );
  await isThere();
});

it('while others change the ruleset without end goes in all the same', async () => {
  let count = 0;
  const over = new AbortController();
  const others = (async (): Promise<void> => {
    while (!over.signal.aborted) await lab.load(`table inet other_${(count++ % 5).toString()} {\n}\n`);
  })();
  try {
    await agent.run();
  } finally {
    over.abort();
    await others;
  }
  expect(count).toBeGreaterThan(0);
  await isThere();
});

it('that grows to it while the host enforces loses no permission and gives none', async () => {
  agent.write(pairDocument([allow('udp', 53)]));
  await agent.run({ args: ['--log-level', 'debug'] });
  let answers = { open: 0, lost: 0, leaked: 0 };
  const over = new AbortController();
  const looking = (async (): Promise<void> => {
    while (!over.signal.aborted) {
      const [open, closed] = [await isOpen(53), await isOpen(54)];
      answers = {
        open: answers.open + 1,
        lost: answers.lost + (open ? 0 : 1),
        leaked: answers.leaked + (closed ? 1 : 0),
      };
    }
  })();
  await agent.settled(largeDocument([allow('udp', 53)]));
  over.abort();
  await looking;
  expect(answers).toMatchObject({ lost: 0, leaked: 0 });
  expect(answers.open).toBeGreaterThan(0);
  await isThere();
  expect(saidByNft()).toEqual([]);
});
