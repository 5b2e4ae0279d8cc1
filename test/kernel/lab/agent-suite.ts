/** The agent's life, on any datapath and backend. */
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { eventually } from '../../support/waiting.js';
import { isBridged, type Datapath } from '../../../compiler/index.js';
import { backendName, environment, type LabBackend } from './flavour.js';
import { Lab, type Shot } from './lab.js';
import {
  allow,
  back,
  CLIENT,
  forth,
  HERE,
  HOST,
  ipFrame,
  PAIR,
  PAIR_BRIDGE,
  pairDocument,
  portFields,
  ports,
  reachIn,
  type Rule,
  SERVER,
} from './pair.js';
import { TestAgent, type AgentOptions } from './test-agent.js';

/** How an agent is to be started there. */
export function agentOptions(datapath: Datapath | 'auto', backend: LabBackend): AgentOptions {
  return {
    args: [
      '--datapath',
      datapath,
      '--backend',
      backendName(backend),
      ...(backend === 'nftables' ? [] : ['--verify', '1']),
    ],
    env: environment(backend),
  };
}

/** Exit code of `portcullis diff`: 0 when the kernel holds exactly what a fresh compilation gives. */
export async function differs(
  lab: Lab,
  agent: TestAgent,
  datapath: Datapath,
  more: readonly string[] = [],
): Promise<number> {
  const args = ['dist/bin/portcullis.js', 'diff', '-t', agent.path, '--host', HOST];
  const how = ['--datapath', datapath, '--backend', backendName(lab.backend)];
  return (await lab.exec(process.execPath, [...args, ...how, ...more])).exitCode;
}

/** What every datapath has its own rules for. @returns what the tests of {@link agentSuite} go on with. */
export function lifeSuite(datapath: Datapath, backend: LabBackend = 'nftables'): Suite {
  let lab: Lab;
  let agent: TestAgent;
  const options = agentOptions('auto', backend);
  const exchange = async (): Promise<unknown> =>
    reachIn(lab, forth('v4', 17, 53), back('v4', 17, 53), forth('v4', 17, 54));
  const open = [[SERVER.device], [CLIENT.device], []];
  beforeAll(async () => {
    lab = await Lab.create(PAIR, { backend, ...(isBridged(datapath) ? { bridge: PAIR_BRIDGE } : {}) });
    agent = new TestAgent(lab.host);
  });
  // One that a failed test leaves would be whom the next test asks.
  afterEach(async () => {
    await agent.end('SIGKILL');
  });
  afterAll(async () => {
    await agent.destroy();
    await lab.destroy();
  });

  it(`enforces, cuts a revoked flow and lets it go on, heals, starts again, and leaves the rules (${datapath}, ${backend})`, async () => {
    agent.write(pairDocument([allow('udp', 53)]));
    await agent.run(options);
    expect((await agent.status()).datapath).toBe(datapath);
    expect(await exchange()).toEqual(open);

    await agent.settled(pairDocument([]));
    await agent.until(({ flows }) => flows.revoked > 0);
    expect(await exchange()).toEqual([[], [], []]);

    await agent.settled(pairDocument([allow('udp', 53)]));
    await agent.until(({ flows }) => flows.restored > 0);
    expect(await exchange()).toEqual(open);

    const { drift } = await agent.status();
    if (backend === 'nftables') {
      await lab.must('nft', ['delete table bridge portcullis']);
      await agent.until(
        (status) =>
          status.drift.foreign > drift.foreign && status.lastTransaction?.reason.startsWith('changed by') === true,
      );
    } else {
      await lab.must('iptables', ['-w', '-t', 'mangle', '-D', 'PREROUTING', '-j', 'pc-egress']);
      await lab.must('iptables', ['-w', '-t', 'mangle', '-I', 'pc-sg_servers_in', '-j', 'ACCEPT']);
      await agent.until((status) => status.drift.found + status.drift.foreign > drift.found + drift.foreign);
    }
    await eventually(async () => (await differs(lab, agent, datapath)) === 0);
    expect(await exchange()).toEqual(open);

    await agent.end('SIGKILL');
    await agent.run(options);
    const log = agent.log();
    const atStart = log.flatMap(({ msg }, index) =>
      msg === 'started' ? [log.slice(index).find(({ way }) => way === 'everything')?.msg] : [],
    );
    expect(atStart).toEqual(['applied', 'nothing to change']);

    expect(await agent.end()).toBe(0);
    expect(await exchange()).toEqual(open);
  });

  return {
    options,
    exchange,
    open,
    get lab() {
      return lab;
    },
    get agent() {
      return agent;
    },
  };
}

interface Suite {
  readonly options: AgentOptions;
  readonly exchange: () => Promise<unknown>;
  /** What {@link exchange} answers where UDP 53 is allowed. */
  readonly open: unknown;
  readonly lab: Lab;
  readonly agent: TestAgent;
}

export function agentSuite(datapath: Datapath, backend: LabBackend = 'nftables'): void {
  const suite = lifeSuite(datapath, backend);
  const { options, exchange, open } = suite;

  it(`keeps a bad port’s last good version, and closes it where there is none (${datapath}, ${backend})`, async () => {
    const { lab, agent } = suite;
    agent.write(pairDocument([allow('udp', 53)]));
    await agent.run(options);
    const broken = pairDocument([allow('udp', 53)], {
      ports: [portFields(CLIENT, ['clients'], HERE), portFields({ ...SERVER, v4: '10.0.0.300' }, ['servers'], HERE)],
    });
    agent.write(broken);
    await agent.until(({ isolated, settled }) => isolated[0]?.inForce === 'last good version' && settled);
    expect(await exchange()).toEqual(open);
    expect(await agent.end()).toBe(0);
    await agent.run(options);
    await agent.until(({ isolated, settled }) => isolated[0]?.inForce === 'nothing' && settled);
    expect(await exchange()).toEqual([[], [], []]);
    expect(await differs(lab, agent, datapath, ['--skip-invalid'])).toBe(0);
    await agent.settled(pairDocument([allow('udp', 53)]));
    expect(await exchange()).toEqual(open);

    expect(await agent.end()).toBe(0);
    expect(await exchange()).toEqual(open);
  });

  it(`cuts a revoked flow between link-local addresses, and none that is still allowed (${datapath}, ${backend})`, async () => {
    const { lab, agent } = suite;
    const linkLocal = { client: 'fe80::f816:3eff:fe00:1', server: 'fe80::f816:3eff:fe00:2' };
    const flow = (port: number): readonly Shot[] => [
      {
        device: CLIENT.device,
        frame: ipFrame(CLIENT.mac, linkLocal.client, linkLocal.server, ports(17, 30_000, port)),
        destinationMac: SERVER.mac,
      },
      {
        device: SERVER.device,
        frame: ipFrame(SERVER.mac, linkLocal.server, linkLocal.client, ports(17, port, 30_000)),
        destinationMac: CLIENT.mac,
      },
    ];
    const both = [...flow(53), ...flow(54)];
    const allowed = (...of: readonly number[]): Rule =>
      pairDocument(of.map((port) => allow('udp', port, { ethertype: 'IPv6' })));
    // What the tests before this one left would be cut, too.
    await lab.forgetFlows();
    agent.write(allowed(53, 54));
    await agent.run(agentOptions(datapath, backend));
    const live = [[SERVER.device], [CLIENT.device], [SERVER.device], [CLIENT.device]];
    expect(await reachIn(lab, ...both)).toEqual(live);
    await agent.settled(allowed(54));
    await agent.until(({ flows }) => flows.revoked > 0);
    expect(await reachIn(lab, ...both)).toEqual([[], [], [SERVER.device], [CLIENT.device]]);
    expect((await agent.status()).flows.revoked).toBe(1);
    await agent.settled(allowed(53, 54));
    await agent.until(({ flows }) => flows.restored > 0);
    expect(await reachIn(lab, ...both)).toEqual(live);
    await agent.end();
  });

  it(`names whose rules write whole marks (${datapath}, ${backend})`, async () => {
    const { lab, agent } = suite;
    const chain = 'type filter hook forward priority 10; ct mark set 5; meta mark set 7; ct mark set ct mark | 8;';
    await lab.load(`table ip pctest_marks {\n chain f { ${chain} }\n}`);
    agent.write(pairDocument([allow('udp', 53)]));
    await agent.run(agentOptions(datapath, backend));
    const { markWriters } = await agent.until((status) => status.markWriters.length > 0);
    const writes = ['ct mark set 0x00000005', ...(datapath === 'bridge-netfilter' ? ['meta mark set 0x00000007'] : [])];
    expect(markWriters).toEqual(writes.map((rule) => `nft table ip pctest_marks, chain f: ${rule}`));
    const { stdout } = await lab.exec(process.execPath, ['dist/bin/portcullis.js', 'status', '--socket', agent.socket]);
    for (const rule of markWriters) expect(stdout).toContain(rule);
    expect(await reachIn(lab, forth('v4', 17, 53), forth('v4', 17, 54))).toEqual([[SERVER.device], []]);
    await agent.end();
    await lab.load('delete table ip pctest_marks');
  });
}
