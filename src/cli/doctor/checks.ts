/** The checks: each reads what it needs to know, and asks its judge. */
import { access, constants, readFile, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import {
  Conntrack,
  crashOf,
  KERNEL,
  KernelError,
  listChain,
  listBaseChains,
  listForeignTables,
  listLegacyRules,
  probeDatapath,
  seesPackets,
  TRIAL_BEGINS,
  TRIAL_TABLE,
  tryNft,
  type Link,
} from '../../../agent/index.js';
import { compile, flowBits, isManagedDevice, type CompileOptions } from '../../../compiler/index.js';
import { whyNotReachable } from '../../api/auth/secret-file.js';
import { EMPTY_TOPOLOGY } from '../../../compiler/model/index.js';
import { judgeAgent, type AgentFacts } from './agent-state.js';
import { judgeClock, type ClockFacts } from './clock.js';
import { judgeDevices } from './devices.js';
import { judgeRoom, roomAt } from './disk.js';
import { judgeFeatures, tryFeatures } from './features.js';
import { failed, ok, unknown, type Finding } from './finding.js';
import { chainKey, droppingChains, judgeFirewalls } from './firewalls.js';
import { judgeMarks } from './marks.js';
import { judgeNft, judgeNode } from './programs.js';
import { capabilitiesIn, judgeRights, secretsIn } from './rights.js';
import type { Check } from './run-checks.js';
import { judgeSettings, readSettings } from './settings.js';

export interface Patient {
  readonly options: CompileOptions;
  /** The agent's status socket. */
  readonly socket: string;
  /** Of this program. */
  readonly version: string;
  readonly agent: AgentFacts;
  readonly links: () => Promise<readonly Link[]>;
  readonly clock: () => Promise<ClockFacts>;
}

/** Where the agent's lock is, whatever its socket. */
const LOCK_FOLDER = '/run/portcullis';

export function checksOf(patient: Patient): readonly Check[] {
  const nft = tryNft().then((facts) =>
    judgeNft(facts, { crashOf, trialBegins: TRIAL_BEGINS, trialTable: TRIAL_TABLE }),
  );
  /** What a program says that is no nft says nothing. */
  const withNft = async (look: () => Promise<readonly Finding[]>): Promise<readonly Finding[]> =>
    (await nft).result === 'ok' ? look() : [unknown('nft does not work')];
  const { options } = patient;
  return [
    { name: 'node', look: async () => Promise.resolve([judgeNode(process.versions.node)]) },
    { name: 'rights', look: async () => judgeRights(await readRights(patient)) },
    { name: 'nft', look: async () => [await nft] },
    {
      name: 'kernel',
      look: async () => withNft(async () => judgeFeatures(await tryFeatures(options), options.datapath)),
    },
    ...(usesIptables(patient) ? [{ name: 'iptables', look: async () => lookAtIptables(options) }] : []),
    { name: 'conntrack', look: lookAtConntrack },
    { name: 'settings', look: async () => judgeSettings(await readSettings(options, await patient.links()), options) },
    { name: 'firewalls', look: async () => lookAtFirewalls(options, listLegacyRules) },
    { name: 'marks', look: async () => withNft(async () => lookAtMarks(options)) },
    { name: 'devices', look: async () => judgeDevices(await patient.links(), patient.agent, options) },
    { name: 'clock', look: async () => [judgeClock(await patient.clock())] },
    { name: 'disk', look: async () => judgeRoom(await Promise.all((await foldersOf(patient)).map(roomAt))) },
    { name: 'agent', look: async () => lookAtAgent(patient) },
  ];
}

/** Those that ask nobody elsewhere, and a program only of a chain that drops: for an agent that begins. */
export function quickChecksOf(options: CompileOptions, links: Patient['links']): readonly Check[] {
  return [
    { name: 'conntrack', look: lookAtConntrack },
    { name: 'settings', look: async () => judgeSettings(await readSettings(options, await links()), options) },
    {
      name: 'firewalls',
      look: async () => lookAtFirewalls(options, async () => Promise.resolve({ listings: [], untold: [] })),
    },
  ];
}

function usesIptables({ agent }: Patient): boolean {
  return agent.kind === 'answers' && agent.status.backend === 'iptables';
}

async function lookAtIptables({ datapath }: CompileOptions): Promise<readonly Finding[]> {
  try {
    await probeDatapath(KERNEL, datapath, 'iptables');
    return [ok('iptables and ipset are there')];
  } catch (error) {
    // Its message says what to install, or to set.
    if (error instanceof KernelError && error.code === 'unsupported') return [failed(error.message)];
    throw error;
  }
}

async function lookAtConntrack(): Promise<readonly Finding[]> {
  const conntrack = new Conntrack();
  try {
    await conntrack.ask();
    return [ok('the kernel answers for flows (nf_conntrack_netlink)')];
  } finally {
    conntrack.close();
  }
}

async function lookAtFirewalls(
  options: CompileOptions,
  listLegacy: typeof listLegacyRules,
): Promise<readonly Finding[]> {
  const [chains, { listings, untold }] = await Promise.all([listBaseChains(), listLegacy()]);
  const ours = compile(EMPTY_TOPOLOGY, () => false, options).ruleset.tables;
  const keys = droppingChains(chains, options).map(chainKey);
  const dropping = new Map(await Promise.all(keys.map(async (key) => [key, (await listChain(key)) ?? ''] as const)));
  return judgeFirewalls({ chains, ours, dropping, legacy: listings, untold }, options);
}

async function lookAtMarks(options: CompileOptions): Promise<readonly Finding[]> {
  const [nft, legacy] = await Promise.all([listForeignTables(), listLegacyRules()]);
  const untold = [...nft.untold, ...legacy.untold];
  return judgeMarks({ nft: nft.tables, iptables: legacy.listings, untold }, flowBits(options));
}

async function lookAtAgent({ agent, socket, version, links, options }: Patient): Promise<readonly Finding[]> {
  const taps = (await links()).map(({ name }) => name).filter((name) => isManagedDevice(options, name));
  return judgeAgent(agent, { socket, version, isLoaded: await seesPackets(KERNEL), taps });
}

async function readRights(patient: Patient): Promise<Parameters<typeof judgeRights>[0]> {
  const socketFolder = dirname(patient.socket);
  const [status, folder, words, whyUnwritable] = await Promise.all([
    readFile('/proc/self/status', 'utf8'),
    stat(LOCK_FOLDER).catch(() => undefined),
    commandLineOf(patient.agent),
    whyNotWritable(socketFolder),
  ]);
  return {
    capabilities: capabilitiesIn(status),
    folder: folder === undefined ? undefined : { path: LOCK_FOLDER, owner: folder.uid, mode: folder.mode },
    unwritable: whyUnwritable === undefined ? undefined : { path: socketFolder, why: whyUnwritable },
    exposed: secretsIn(words).flatMap((path) => {
      const why = whyExposed(path);
      return why === undefined ? [] : [{ path, why }];
    }),
  };
}

/** Undefined for a folder that is writable; one that is not there is made. */
async function whyNotWritable(folder: string): Promise<string | undefined> {
  try {
    await access(folder, constants.W_OK);
    return undefined;
  } catch (error) {
    const why = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    return why === 'ENOENT' ? undefined : why;
  }
}

function whyExposed(path: string): string | undefined {
  try {
    return whyNotReachable(path);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** Words that end with zeros; '' where none is at work. */
async function commandLineOf(agent: AgentFacts): Promise<string> {
  if (agent.kind !== 'answers') return '';
  return readFile(`/proc/${agent.status.pid.toString()}/cmdline`, 'utf8').catch(() => '');
}

async function foldersOf({ agent, socket }: Patient): Promise<readonly string[]> {
  const words = (await commandLineOf(agent)).split('\0');
  const store = words[words.indexOf('--store') + 1];
  const isFolder = words.includes('--store') && store !== undefined && !store.startsWith('etcd:');
  return [LOCK_FOLDER, dirname(socket), ...(isFolder ? [store] : [])];
}
