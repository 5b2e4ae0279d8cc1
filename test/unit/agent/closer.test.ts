/** Whose a transaction is, where what the agent says of its own and the kernel's notice come in the same instant. */
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Closer } from '../../../agent/watch/closer.js';
import type { WatchEvent, WatchOrder } from '../../../agent/watch/events.js';
import { attribute } from '../../../agent/netlink/message.js';
import type { NfTablesMessage } from '../../../agent/netlink/nf-tables-batch.js';
import type { NfTablesEvent } from '../../../agent/netlink/nf-tables.js';
import { NFNL_SUBSYS_NFTABLES, NFT_MSG, NFTA_RULE } from '../../../agent/netlink/nf-tables-header.js';
import { eventually } from '../../support/waiting.js';

const PORT_ID = 4711;
const BEGINS: WatchOrder = { kind: 'own-begins', portId: PORT_ID, before: 7 };

let folder: string;
/** What is written to the first is read from the second by a turn of the event loop that begins later. */
let pipe: readonly [Socket, Socket];
let told: WatchEvent[];
let closer: Closer;
let withdrawals: number;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'portcullis-closer-'));
  const path = join(folder, 'socket');
  const server = createServer();
  const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve));
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const caller = connect(path);
  pipe = [caller, await accepted];
  server.close();
  told = [];
  withdrawals = 0;
  closer = new Closer((event) => told.push(event));
  closer.obey({ kind: 'closing', closing: new Map() });
});
afterEach(() => {
  for (const socket of pipe) socket.destroy();
  rmSync(folder, { recursive: true });
});

/** The kernel would refuse it: there is no such table. */
function withdrawal(): NfTablesMessage {
  withdrawals++;
  const table = attribute(NFTA_RULE.NFTA_RULE_TABLE, Buffer.from('pctest_nowhere\0'));
  const payload = Buffer.concat([Buffer.from([1, 0, 0, 0]), table]);
  return { type: (NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG.NFT_MSG_DELRULE, flags: 0, payload, about: '' };
}

const ADDED: NfTablesEvent = {
  kind: 'table',
  family: 'inet',
  table: 'portcullis',
  portId: PORT_ID,
  generation16: 8,
  what: { kind: 'rule', chain: 'egress', isAppended: true, withdrawal },
};
const DONE: NfTablesEvent = { kind: 'generation', id: 8, portId: PORT_ID, pid: PORT_ID, program: 'nft' };

/** In one turn of the event loop: `first` is sent through the pipe, and the notices are read. */
async function inOneTurn(first: () => void): Promise<void> {
  const [from, to] = pipe;
  to.once('data', first);
  await new Promise<void>((resolve) => {
    // Called where a socket is read, as notices are.
    from.once('data', () => {
      from.write('x');
      closer.hear(ADDED);
      closer.hear(DONE);
      resolve();
    });
    to.write('x');
  });
  await eventually(() => told.some(({ kind }) => kind === 'table-changed'));
}

it('what the agent said before it began is heard, though the notice is read first', async () => {
  await inOneTurn(() => {
    closer.obey(BEGINS);
  });
  expect(withdrawals).toBe(0);
  expect(told).toMatchObject([{ kind: 'table-changed', change: { isClosing: false } }]);
});

it('what nobody spoke of is somebody else’s', async () => {
  await inOneTurn(() => undefined);
  await eventually(() => told.some(({ kind }) => kind === 'withdrawn'));
  expect(withdrawals).toBeGreaterThan(0);
  expect(told).toContainEqual(expect.objectContaining({ kind: 'table-changed' }));
});

it('a try of ours that others were quicker than is no sign of ports that nobody told of: what they add meanwhile goes at once', async () => {
  const begins = (before: number): WatchOrder => ({ kind: 'own-begins', portId: PORT_ID, before });
  await inOneTurn(() => {
    closer.obey(BEGINS);
  });
  closer.obey(begins(8));
  closer.obey({ kind: 'own-over', portId: PORT_ID, before: 8, after: 9, isMade: false });
  closer.obey(begins(9));
  const other = PORT_ID + 1;
  closer.hear({ ...ADDED, portId: other, generation16: 10 });
  closer.hear({ ...DONE, id: 10, portId: other });
  await eventually(() => told.filter(({ kind }) => kind === 'table-changed').length === 2);
  await eventually(() => told.some(({ kind }) => kind === 'withdrawn'));
  expect(withdrawals).toBeGreaterThan(0);
});
