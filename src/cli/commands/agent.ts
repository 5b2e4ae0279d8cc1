/** `portcullis agent`: the daemon that keeps the kernel equal to the policy. */
import { hostname } from 'node:os';
import { setTimeout } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { CommandModule } from 'yargs';
import { DEFAULT_OPTIONS, type CompileOptions, type Datapath } from '../../../compiler/index.js';
import type { Api } from '../../api/index.js';
import type { Source } from '../../../compiler/model/index.js';
import { besideAnother, takeAgentLock } from '../agent-lock.js';
import { agentOptions, AUTO, type AgentArguments } from '../agent-options.js';
import { listening, openApi } from '../api-options.js';
import { asTyped, configOption, configured, type Typed } from '../configuration/configured.js';
import { CommandError } from '../errors.js';
import { EXIT } from '../exit-codes.js';
import { isAtLeast, LEAST_NFT } from '../least-version.js';
import { makeLogger } from '../logger.js';
import { checkBackend, compileOptions } from '../topology-options.js';
import type { Log } from '../../../agent/log.js';
import { neutronSource, refuseNeutronOptions } from '../neutron-options.js';
import { Preflight } from '../preflight.js';
import { etcdOf, refuseEtcdOptions } from '../store-options.js';
import { readTokenFile } from '../token-file.js';
import { version } from '../version.js';

export const agentCommand: CommandModule<object, Typed<typeof agentOptions>> = {
  command: 'agent',
  describe: 'keep the kernel equal to the policy, through every change',
  builder: (yargs) =>
    yargs
      .options({ ...configOption, ...asTyped(agentOptions) })
      .example('$0 agent --source file:/etc/portcullis/topology.yaml', 'as the host that this machine is named')
      .example('$0 agent --api 127.0.0.1:9696 --store /var/lib/portcullis', 'API, store and agent on one machine')
      .example('$0 agent --source file:/srv/topology --host compute-1 --audit', 'see what would be dropped'),
  handler: configured('agent', agentOptions, async (args: AgentArguments) => {
    if (args.audit && args.backend === 'iptables') {
      throw new CommandError(
        EXIT.usage,
        '--audit: not with --backend iptables, which does not count by port: audit with nftables, which drops nothing then, and enforce with iptables',
      );
    }
    checkBackend(args);
    const metrics = metricsAddress(args.metrics);
    const host = args.host ?? hostname();
    const log = await makeLogger(args['log-level']);
    const { Agent, KERNEL, nftVersion, probeDatapath } = await import('../../../agent/index.js');
    // Whoever may not read the tables may not change them: one clear line now, not one for each try.
    await KERNEL.families();
    const preflight = preflightOf(args, host, log);
    await preflight.ask(async () => {
      checkVersion(await nftVersion());
    }, undefined);
    if ((await preflight.ask(takeAgentLock, undefined)) === undefined) throw besideAnother();
    endOnExceptions(log);
    const datapath = args.datapath === AUTO ? await datapathOfTaps(args, preflight, log) : args.datapath;
    await preflight.ask(async () => probeDatapath(KERNEL, datapath, args.backend), undefined);
    const { source, api } = await sourceOf(args, host, log);
    const settings = {
      version: version(),
      host,
      source,
      options: {
        ...compileOptions(args, datapath),
        audit: args.audit,
      },
      backend: args.backend,
      verifyEvery: verifyMilliseconds(args),
      allowShrink: args['allow-shrink'],
      socket: args.socket,
      metrics,
      log,
    };
    // Before anything is enforced: who cannot be served is told at once, and the kernel stays as it is.
    const address = api === undefined ? undefined : await listening(api, '--api');
    const agent = new Agent(settings);
    await agent.start();
    if (address !== undefined) log.info({ id: 'api-listens', address }, 'the API listens');
    void lookAround(settings.options, log);
    const ended = new Promise<void>((resolve) => {
      // Not once: a listener that is gone while a child runs lets execa's own, which ends the process, go first.
      process.on('SIGTERM', resolve);
      process.on('SIGINT', resolve);
    });
    process.on('SIGHUP', () => {
      agent.reload();
    });
    await ended;
    await api?.close();
    await agent.stop();
    // What may still be under way (a watch of a file system, a timer) must not keep a stopped agent.
    process.exit(EXIT.done);
  }),
};

/** After the start, in milliseconds: enforcing comes first. */
const LOOK_AROUND_AFTER_MS = 1000;

/** Says what else on this host may be in the way. */
async function lookAround(options: CompileOptions, log: Log): Promise<void> {
  await setTimeout(LOOK_AROUND_AFTER_MS, undefined, { ref: false });
  try {
    const { sayAtStart } = await import('../doctor/at-start.js');
    await sayAtStart(options, log);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    log.warn({ id: 'doctor' }, `what is around cannot be looked at: ${why}`);
  }
}

function preflightOf(args: AgentArguments, host: string, log: Logger): Preflight {
  return new Preflight({
    options: compileOptions(args, args.datapath === AUTO ? DEFAULT_OPTIONS.datapath : args.datapath),
    backend: args.backend,
    audit: args.audit,
    host,
    // Of an API of our own the agent is the first to ask.
    source: () => (args.source === undefined ? undefined : sourceOf(args, host, log).then(({ source }) => source)),
    log,
  });
}

/** What nobody expected leaves the state unknown: the rules stay, and the service manager starts another agent. */
function endOnExceptions(log: Log): void {
  const end = (error: unknown): void => {
    log.fatal(
      { id: 'defect' },
      `this is a defect of portcullis: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
    );
    process.exit(EXIT.internal);
  };
  process.on('uncaughtException', end);
  process.on('unhandledRejection', end);
}

/** Between two looks at the taps. */
const LOOK_EVERY_MS = 1000;

/** Waits, with everything closed, until a tap shows how taps reach this host. */
async function datapathOfTaps(args: AgentArguments, preflight: Preflight, log: Log): Promise<Datapath> {
  const { detectDatapath, KERNEL, loadBaseline, notify } = await import('../../../agent/index.js');
  const { baselineTables } = await import('../../../compiler/baseline.js');
  const options = compileOptions(args, DEFAULT_OPTIONS.datapath);
  // Twice the same: a tap is there for an instant before it is plugged in.
  let before: Datapath | undefined;
  for (let isFirst = true; ; isFirst = false) {
    const found = await preflight.ask(async () => detectDatapath(KERNEL, options, args.backend), undefined);
    if (found !== undefined && found === before) {
      log.info({ id: 'datapath-found', datapath: found }, 'datapath found by the taps that are here');
      return found;
    }
    before = found;
    if (isFirst && found === undefined) {
      const isClosed = await loadBaseline(KERNEL, baselineTables(options));
      log.info(
        { id: 'no-tap-yet', prefixes: options.devicePrefixes },
        `no tap shows the datapath yet: waiting for the first, ${isClosed ? 'which will be closed until then' : 'with the rules that are loaded'}`,
      );
      await notify('READY=1', 'STATUS=waiting for the first tap');
    }
    await setTimeout(LOOK_EVERY_MS);
  }
}

/** The source, and the API where it is ours. */
async function sourceOf(
  args: AgentArguments,
  host: string,
  log: Logger,
): Promise<{ readonly source: Source; readonly api?: Api }> {
  const { source: text, api: listen } = args;
  const isNeutron = text?.startsWith('neutron:') === true;
  if (!isNeutron) refuseNeutronOptions(args);
  if ((text === undefined) === (listen === undefined)) {
    throw new CommandError(EXIT.usage, '--source and --api: valid is one of them');
  }
  if (listen !== undefined) {
    const api = await openApi(listen, '--api', args, host, log);
    const { DatabaseSource } = await import('../../api/index.js');
    return { source: new DatabaseSource(api.database, api.hosts), api };
  }
  const [, scheme, rest = ''] = /^([a-z]+):(.+)$/s.exec(text ?? '') ?? [];
  if (scheme === 'etcd' && text !== undefined) {
    const { address, given } = await etcdOf('--source', text, args);
    const { EtcdSource } = await import('../../sources/etcd/index.js');
    return { source: new EtcdSource(address, given, host) };
  }
  refuseEtcdOptions(args);
  if (isNeutron) return { source: await neutronSource(text, args, host) };
  if (scheme === 'file') {
    const { FileSource } = await import('../../sources/file/index.js');
    return { source: new FileSource(rest) };
  }
  if (scheme === 'api' && /^https?:\/\/[^/]+\/?$/.test(rest)) {
    const { ApiSource } = await import('../../sources/api/index.js');
    return { source: new ApiSource(rest.replace(/\/$/, ''), readTokenFile('--source-token', args['source-token'])) };
  }
  throw new CommandError(
    EXIT.usage,
    `--source: ${JSON.stringify(text)} is not a source: valid is file:PATH, api:URL (api:http://127.0.0.1:9696), etcd:URL (etcd:https://10.0.0.1:2379) or neutron:[URL]`,
  );
}

/** Seconds between comparisons unless `--verify` says otherwise: nothing tells of a change to iptables. */
const VERIFY_SECONDS = { nftables: 3600, iptables: 60 };

function verifyMilliseconds({ verify, backend }: AgentArguments): number {
  const seconds = verify ?? VERIFY_SECONDS[backend];
  if (seconds >= 1 && seconds <= 86_400) return 1000 * seconds;
  throw new CommandError(EXIT.usage, `--verify: ${seconds.toString()} is not a number of seconds (1-86400)`);
}

function metricsAddress(text: string | undefined): string | undefined {
  const [, port] = /^(?:\[[0-9a-f:.]+\]|[^:\s]+):(\d{1,5})$/i.exec(text ?? '') ?? [];
  if (text === undefined || (port !== undefined && Number(port) <= 65_535)) return text;
  throw new CommandError(EXIT.usage, `--metrics: ${JSON.stringify(text)} is not HOST:PORT, as 127.0.0.1:9808`);
}

function checkVersion(text: string): void {
  if (isAtLeast(text, LEAST_NFT)) return;
  throw new CommandError(EXIT.kernelRefused, `nft ${text} is too old: ${LEAST_NFT.join('.')} or newer is needed`);
}
