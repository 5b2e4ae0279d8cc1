/** A kernel whose answers do not arrive: what was asked fails in time, nothing is taken for done, and the next request is answered. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import { NetlinkSocket } from '../../agent/netlink/socket.js';
import { eventually, within } from '../support/waiting.js';
import { eachWithAgent } from './lab/agent-lab.js';
import type { Lab } from './lab/lab.js';
import { allow, back, CLIENT, forth, PAIR, pairDocument, reachIn, SERVER } from './lab/pair.js';
import type { TestAgent } from './lab/test-agent.js';
import { PYTHON } from '../support/python.js';

const DEAFEN = fileURLToPath(new URL('./lab/deafen.py', import.meta.url));
const [ROUTE, NETFILTER] = [0, 12];
const RTM_GETLINK = 18;
const IFINFOMSG = Buffer.alloc(16);

/** Inodes of the netlink sockets of a process, of one protocol, in the order of their port ids: that in which it opened them. */
function socketsOf(pid: number, protocol: number): readonly string[] {
  const own = new Set(
    readdirSync(`/proc/${pid.toString()}/fd`).flatMap((name) => {
      try {
        return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid.toString()}/fd/${name}`))?.[1] ?? [];
      } catch {
        return [];
      }
    }),
  );
  return readFileSync(`/proc/${pid.toString()}/net/netlink`, 'utf8')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .toSorted(([, , one], [, , other]) => Number(one) - Number(other))
    .flatMap((fields) => (fields[1] === protocol.toString() && own.has(fields[9] ?? '') ? [fields[9] ?? ''] : []));
}

function deafen(pid: number, inodes: readonly string[]): void {
  expect(inodes).not.toEqual([]);
  execFileSync(PYTHON, [DEAFEN, pid.toString(), ...inodes]);
}

describe('a socket that hears nothing', () => {
  const listed = async (socket: NetlinkSocket): Promise<number> => {
    let links = 0;
    await socket.dump(
      RTM_GETLINK,
      IFINFOMSG,
      () => (links = 0),
      () => links++,
    );
    return links;
  };

  it('fails each request that waits, once, and hears again by the next', async () => {
    const socket = new NetlinkSocket(ROUTE, 300);
    try {
      expect(await listed(socket)).toBeGreaterThan(0);
      deafen(process.pid, socketsOf(process.pid, ROUTE));
      const [dump, request] = await Promise.allSettled([
        listed(socket),
        socket.request(
          RTM_GETLINK,
          Buffer.concat([IFINFOMSG.subarray(0, 4), Buffer.from([1, 0, 0, 0]), IFINFOMSG.subarray(8)]),
        ),
      ]);
      for (const { status, reason } of [dump, request] as PromiseRejectedResult[]) {
        expect([status, String(reason)]).toEqual(['rejected', 'Error: netlink: the kernel has not answered for 0.3 s']);
      }
      expect(await listed(socket)).toBeGreaterThan(0);
    } finally {
      socket.close();
    }
    await expect(listed(socket)).rejects.toThrow('was closed');
  });

  it('is not taken for one by a process that was too busy to read', async () => {
    const socket = new NetlinkSocket(ROUTE, 100);
    try {
      const links = listed(socket);
      const until = performance.now() + 300;
      while (performance.now() < until);
      expect(await links).toBeGreaterThan(0);
    } finally {
      socket.close();
    }
  });
});

/** A program of a test is held by nothing that it does not use. */
it('a socket that nothing was asked of keeps no process', async () => {
  const program = `
    const { NetlinkSocket } = await import(${JSON.stringify(pathToFileURL('dist/agent/netlink/socket.js').href)});
    console.log(new NetlinkSocket(${ROUTE.toString()}).portId > 0);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    const ended = once(child, 'exit');
    const [said] = (await once(child.stdout, 'data')) as [Buffer];
    expect(said.toString()).toBe('true\n');
    expect(await within('the end of a process with an idle socket', ended, () => '')).toEqual([0, null]);
  } finally {
    child.kill('SIGKILL');
  }
});

describe('an agent whose sockets hear nothing', () => {
  let lab: Lab;
  let agent: TestAgent;
  eachWithAgent(PAIR, (theLab, itsAgent) => {
    [lab, agent] = [theLab, itsAgent];
  });

  it('for flows says so, and cuts the revoked flow all the same', async () => {
    agent.write(pairDocument([allow('udp', 53)]));
    await agent.run();
    await agent.until(({ settled }) => settled);
    const exchange = async (): Promise<unknown> => reachIn(lab, forth('v4', 17, 53), back('v4', 17, 53));
    expect(await exchange()).toEqual([[SERVER.device], [CLIENT.device]]);
    const pid = agent.pid();
    // That for flows it has from its beginning.
    deafen(pid, socketsOf(pid, NETFILTER).slice(0, 1));
    agent.write(pairDocument([]));
    await eventually(() => agent.output.includes('the kernel has not answered'));
    await agent.until(({ flows, settled }) => flows.revoked > 0 && settled);
    expect(await exchange()).toEqual([[], []]);
  });

  it('for transactions, generations and what is loaded, which it keeps, makes the change with others', async () => {
    agent.write(pairDocument([allow('udp', 53)]));
    await agent.run();
    const reached = async (): Promise<unknown> => reachIn(lab, forth('v4', 17, 53));
    expect(await reached()).toEqual([[SERVER.device]]);
    const pid = agent.pid();
    let kept: readonly string[] = [];
    // It opens others for a moment now and then.
    await eventually(() => {
      kept = socketsOf(pid, NETFILTER).slice(1);
      return kept.length === 3;
    });
    deafen(pid, kept);
    await agent.settled(pairDocument([]));
    expect(await reached()).toEqual([[]]);
    expect(agent.output).toContain('the kernel has not answered');
    expect(socketsOf(pid, NETFILTER).filter((inode) => kept.includes(inode))).toEqual([]);
  });
});
