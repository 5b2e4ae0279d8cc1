/**
 * A process as an agent's, without a kernel: the source, what is in force, the compiler. Answers its parent's questions.
 * Arguments: the store's address, the host, and the host's number of ports.
 */
import { DEFAULT_OPTIONS, HostCompiler } from '../../compiler/index.js';
import { CLOCK } from '../../agent/clock.js';
import { Reporter } from '../../agent/reporter.js';
import { SourceGate } from '../../agent/gate.js';
import { parseEtcdAddress } from '../../src/etcd/address.js';
import { isOnHost, type Port } from '../../compiler/model/index.js';
import { EtcdSource } from '../../src/sources/etcd/index.js';
import { countSockets, memory, type AgentAnswer, type AgentQuestion } from './processes.js';

const [, , url = '', host = '', ports = '0'] = process.argv;
const sockets = countSockets();
const isLocal = (port: Port): boolean => isOnHost(port, host);
const gate = new SourceGate(isLocal, false);
const compiler = new HostCompiler(isLocal, DEFAULT_OPTIONS);
const source = new EtcdSource(parseEtcdAddress(url), {}, host);
let [revision, stale, wholes] = [-1, 0, 0];
/** Since the last question. */
let told: { readonly revision: number; readonly at: number }[] = [];

source.start(
  (event) => {
    if (event.kind === 'stale') {
      stale++;
      return;
    }
    const passage = event.kind === 'topology' ? gate.whole(event.topology, event.doubt) : gate.changes(event.changes);
    if (passage.kind === 'held') throw new Error(passage.reason);
    if (event.kind === 'topology') wholes++;
    compiler.update(passage.changes);
    compiler.take();
    revision = event.revision ?? -1;
    told.push({ revision, at: now() });
  },
  () => gate.inForce,
);

const reporter = new Reporter(
  () => ({
    ...{ version: '0.1.0', revision, enforced: true, trouble: null, ports: Number(ports) },
    ...{ refused: [], isolated: 0, drift: 0 },
  }),
  async (report) => source.report(host, report),
  CLOCK,
);

/** Of the clock that all processes share; in milliseconds. */
function now(): number {
  return Number(process.hrtime.bigint() / 1000n) / 1000;
}

process.on('message', (question: AgentQuestion) => {
  if (question === 'report') reporter.start();
  const answer: AgentAnswer = {
    ...{ host, revision, stale, wholes, told },
    ports: [...compiler.localPorts()].length,
    memory: question === 'look' ? memory() : undefined,
    ...sockets(),
  };
  told = [];
  process.send?.(answer);
});
process.once('disconnect', () => process.exit(0));
