/**
 * `portcullis diff` says beforehand what an agent does then: which rules change for whom, and how many live flows are cut; the same whichever
 * packet filter holds the rules.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import {
  EMPTY_PROGRAM,
  planIptables,
  printTables,
  readIpsets,
  readIptables,
  type IptablesProgram,
} from '../../compiler/index.js';
import { readListing, readRules } from '../../compiler/listing.js';
import type { Judging } from '../../src/cli/plan/plan.js';
import {
  BEFORE,
  CHANGES,
  EVERYTHING,
  planBetween,
  policyOf,
  shown,
  withoutIdsOfGone,
  type Policy,
} from '../support/plan-changes.js';
import { Lab } from './lab/lab.js';
import { allow, forth, HOST, PAIR, pairDocument, reachIn, SERVER } from './lab/pair.js';
import { TestAgent } from './lab/test-agent.js';

/** With them there are enough ports to be looked up in a set. */
const MORE = [60, 70, 80].map((number) => allow('udp', number));

let lab: Lab;
let agent: TestAgent;
beforeAll(async () => {
  lab = await Lab.create(PAIR, { backend: 'iptables-nft' });
  agent = new TestAgent(lab.host);
});
afterAll(async () => {
  await agent.destroy();
  await lab.destroy();
});

it('names what changes, and counts the flows that the agent cuts then', async () => {
  agent.write(pairDocument([allow('udp', 53), allow('udp', 54), ...MORE]));
  await agent.run();
  const shots = [forth('v4', 17, 53), forth('v4', 17, 54)];
  expect(await reachIn(lab, ...shots)).toEqual([[SERVER.device], [SERVER.device]]);

  const next = join(agent.folder, 'next.json');
  const wanted = pairDocument([allow('udp', 153), allow('udp', 54), ...MORE]);
  writeFileSync(next, JSON.stringify(wanted));
  const diff = async (...args: readonly string[]): Promise<{ exitCode: number; stdout: string }> =>
    lab.exec(process.execPath, ['dist/bin/portcullis.js', 'diff', '-t', next, '--host', HOST, ...args]);
  expect(await diff()).toMatchObject({
    exitCode: 2,
    stdout: [
      '~ group servers: udp 53 → 153 from anywhere (IPv4) (1 port)',
      'Plan: 1 changed; 1 live flow would be cut',
    ].join('\n'),
  });
  const { exitCode, stdout } = await diff('--json');
  expect(exitCode).toBe(2);
  expect(JSON.parse(stdout)).toMatchObject({
    differs: true,
    plan: [{ sign: '~', kind: 'group' }],
    flows_cut: 1,
    raw: expect.arrayContaining(['  + sg_servers_in_ports: ip . 17 . 153']) as unknown,
  });

  await agent.settled(wanted);
  expect((await agent.until(({ flows }) => flows.revoked > 0)).flows.revoked).toBe(1);
  expect(await diff()).toMatchObject({ exitCode: 0, stdout: '' });

  // On a terminal, the one that loads says it beforehand.
  await agent.end();
  writeFileSync(next, JSON.stringify(pairDocument([allow('udp', 53), allow('udp', 54), ...MORE])));
  const compile = `NO_COLOR=1 ${process.execPath} dist/bin/portcullis.js compile -t ${next} --host ${HOST}`;
  expect((await lab.must('script', ['--quiet', '--return', '--command', compile, '/dev/null'])).split(/\r?\n/)).toEqual(
    [
      '~ group servers: udp 153 → 53 from anywhere (IPv4) (1 port)',
      'Plan: 1 changed; no live flow would be cut',
      'loaded',
    ],
  );
  expect(await diff()).toMatchObject({ exitCode: 0, stdout: '' });
});

it('reads the same from iptables and ipset, and the terminal sees it, too', async () => {
  const next = join(agent.folder, 'next.json');
  const wanted = (...allowed: readonly number[]): void => {
    writeFileSync(
      next,
      JSON.stringify(pairDocument(allowed.map((number) => allow('udp', number, { id: `rule-${number.toString()}` })))),
    );
  };
  const command = (name: string, ...args: readonly string[]): readonly string[] => [
    ...['dist/bin/portcullis.js', name, '-t', next, '--host', HOST, '--backend', 'iptables'],
    ...args,
  ];
  wanted(53, 54);
  await lab.must(process.execPath, command('compile'));
  await lab.forgetFlows();
  const shots = [forth('v4', 17, 53), forth('v4', 17, 54)];
  expect(await reachIn(lab, ...shots)).toEqual([[SERVER.device], [SERVER.device]]);
  wanted(153, 54);
  const { exitCode, stdout } = await lab.exec(process.execPath, command('diff', '--json'));
  expect(exitCode).toBe(2);
  const text = 'group servers: rule rule-153 udp 53 → 153 from anywhere (IPv4) (1 port)';
  expect(JSON.parse(stdout)).toMatchObject({
    differs: true,
    plan: [{ sign: '~', kind: 'group', text }],
    flows_cut: 1,
    raw: expect.arrayContaining(['~ iptables mangle pc-sg_servers_in']) as unknown,
  });
  const typed = `NO_COLOR=1 ${[process.execPath, ...command('compile')].join(' ')}`;
  const terminal = await lab.must('script', ['--quiet', '--return', '--command', typed, '/dev/null']);
  expect(terminal.split(/\r?\n/)).toEqual([`~ ${text}`, 'Plan: 1 changed; 1 live flow would be cut', 'loaded']);
});

it('says the same of the same changes, of what the kernel holds by either packet filter', async () => {
  const loadTables = async ({ compiled }: Policy): Promise<Judging> => {
    await lab.load(printTables(compiled.ruleset.tables));
    const list = ['--json', '--numeric', '--stateless', 'list', 'table', 'inet', 'portcullis'];
    const listing: unknown = JSON.parse(await lab.must('nft', list));
    const loaded = { table: readListing('inet', 'portcullis', listing), rules: readRules(listing) };
    return { backend: 'nftables', loaded };
  };
  const readProgram = async (): Promise<IptablesProgram> => ({
    sets: readIpsets(await lab.must('ipset', ['save'])),
    families: {
      IPv4: readIptables(await lab.must('iptables-save', [])),
      IPv6: readIptables(await lab.must('ip6tables-save', [])),
    },
  });
  const loadProgram = async ({ program }: Policy): Promise<IptablesProgram> => {
    for (const step of planIptables(await readProgram(), program).steps) await lab.takeStep(step);
    return readProgram();
  };

  const [before, everything] = [policyOf(BEFORE), policyOf(EVERYTHING)];
  const [tables, program] = [await loadTables(before), await loadProgram(before)];
  const other = [await loadTables(everything), await loadProgram(everything)] as const;
  const said = (from: Policy, to: Policy, held: Judging): readonly string[] => planBetween(from, to, held).map(shown);
  for (const [what, change, lines] of CHANGES) {
    const after = policyOf({ ...BEFORE, ...change });
    expect(said(before, after, tables), what).toEqual(lines);
    const held: Judging = { backend: 'iptables', loaded: program, wanted: after.program };
    expect(said(before, after, held), what).toEqual(lines.map(withoutIdsOfGone));
  }
  const back = said(everything, before, other[0]);
  expect(back.length).toBeGreaterThan(20);
  const held: Judging = { backend: 'iptables', loaded: other[1], wanted: before.program };
  expect(said(everything, before, held)).toEqual(back.map(withoutIdsOfGone));
  for (const step of planIptables(other[1], EMPTY_PROGRAM).steps) await lab.takeStep(step);
});
