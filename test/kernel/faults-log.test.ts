/** A log that nobody reads, whatever it is, delays nothing: changes arrive, the status answers, and the agent ends when it is asked to. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { eachWithAgent } from './lab/agent-lab.js';
import type { Lab } from './lab/lab.js';
import { allow, forth, PAIR, pairDocument, reachIn, SERVER } from './lab/pair.js';
import { TestAgent } from './lab/test-agent.js';
import { PYTHON } from '../support/python.js';

/** Makes standard error something that is full and has a reader who does not read, and becomes the program. */
const FULL = `
import fcntl, os, pty, signal, socket, sys
kind, program = sys.argv[1], sys.argv[2:]
if kind == "pipe":
    reader, writer = os.pipe()
elif kind == "terminal":
    reader, writer = pty.openpty()
else:
    ends = socket.socketpair(socket.AF_UNIX, {"stream": socket.SOCK_STREAM, "datagrams": socket.SOCK_DGRAM, "packets": socket.SOCK_SEQPACKET}[kind])
    reader, writer = (end.detach() for end in ends)
os.set_inheritable(reader, True)
flags = fcntl.fcntl(writer, fcntl.F_GETFL)
fcntl.fcntl(writer, fcntl.F_SETFL, flags | os.O_NONBLOCK)
for size in (4096, 1):
    try:
        while True:
            os.write(writer, b"x" * size)
    except BlockingIOError:
        pass
fcntl.fcntl(writer, fcntl.F_SETFL, flags)
os.dup2(writer, 2)
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
os.execvp(program[0], program)
`;

let lab: Lab;
let agent: TestAgent;
let full: string;
eachWithAgent(PAIR, (one, its) => {
  [lab, agent] = [one, its];
  full = join(agent.folder, 'full.py');
  writeFileSync(full, FULL);
});

const open = async (): Promise<readonly boolean[]> =>
  (await reachIn(lab, forth('v4', 17, 53), forth('v4', 17, 54))).map((reached) => reached.includes(SERVER.device));

describe.each(['pipe', 'stream', 'packets', 'datagrams', 'terminal'])('%s', (kind) => {
  it('that is full', async () => {
    const options = { wrapper: [PYTHON, full, kind], args: ['--log-level', 'debug'] };
    agent.write(pairDocument([allow('udp', 53)]));
    await agent.run(options);
    expect(await open()).toEqual([true, false]);
    for (const port of [54, 53, 54]) await agent.settled(pairDocument([allow('udp', port)]));
    expect(await open()).toEqual([false, true]);

    // One that ends by an error ends, too.
    const second = new TestAgent(lab.host);
    second.start(options);
    expect(await second.ended()).toBe(4);
    await second.destroy();
    expect(await agent.end()).toBe(0);
  });
});
