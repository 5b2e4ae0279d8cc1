/** A kernel whose answers do not arrive: what was asked fails in time, nothing is taken for done, and the next request is answered. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { NetlinkSocket } from '../../agent/netlink/socket.js';
import { eventually } from '../support/waiting.js';
import { Lab } from './lab/lab.js';
import { allow, back, CLIENT, forth, PAIR, pairDocument, reachIn, SERVER } from './lab/pair.js';
import { TestAgent } from './lab/test-agent.js';
import { PYTHON } from '../support/python.js';

const DEAFEN = fileURLToPath(new URL('./lab/deafen.py', import.meta.url));
const [ROUTE, NETFILTER] = [0, 12];
const RTM_GETLINK = 18;
const IFINFOMSG = Buffer.alloc(16);

/** Inodes of the netlink sockets of a process, of one protocol. */
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

describe('an agent whose conntrack socket hears nothing', () => {
  let lab: Lab;
  let agent: TestAgent;
  beforeAll(async () => {
    lab = await Lab.create(PAIR);
  });
  afterAll(async () => {
    await lab.destroy();
  });
  beforeEach(() => {
    agent = new TestAgent(lab.host);
  });
  afterEach(async () => {
    await agent.destroy();
  });

  it('says so, and cuts the revoked flow all the same', async () => {
    agent.write(pairDocument([allow('udp', 53)]));
    await agent.run();
    await agent.until(({ settled }) => settled);
    const exchange = async (): Promise<unknown> => reachIn(lab, forth('v4', 17, 53), back('v4', 17, 53));
    expect(await exchange()).toEqual([[SERVER.device], [CLIENT.device]]);
    const pid = agent.pid();
    // Its first one, which it has from its beginning; those of transactions come later.
    const [conntrack] = socketsOf(pid, NETFILTER).toSorted((one, other) => Number(one) - Number(other));
    deafen(pid, [String(conntrack)]);
    agent.write(pairDocument([]));
    await eventually(() => agent.output.includes('the kernel has not answered'));
    await agent.until(({ flows, settled }) => flows.revoked > 0 && settled);
    expect(await exchange()).toEqual([[], []]);
  });
});
