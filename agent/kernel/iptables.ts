/**
 * The programs of iptables and ipset: read what is loaded of ours, and carry out plans. The only module that starts them.
 *
 * Their messages are never translated (ipset and iptables set no locale), so matching their text in one place is safe.
 */
import { readFile } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';
import {
  EMPTY_PROGRAM,
  isOursInIptables,
  planIptables,
  readIpsets,
  readIptables,
  type FamilyTables,
  type IptablesChain,
  type IptablesPlan,
  type IptablesProgram,
  type IptablesRule,
  type IptablesStep,
} from '../../compiler/index.js';
import type { Family } from '../../compiler/model/index.js';
import { Backoff } from '../backoff.js';
import { listTables } from '../netlink/tables.js';
import { KernelError } from './errors.js';
import { runProgram } from './program.js';

/** Which of both programs: the names are those of every distribution. `default` is what `iptables` is here. */
export type Flavour = 'default' | 'nft' | 'legacy';

/** For the lock that others may hold, in seconds (`iptables-restore --wait`). */
const LOCK_SECONDS = '10';
/** nf_tables lets go of a set some time after the last rule that asked it. */
const DESTROY_WITHIN_MS = 2000;
const DESTROY_AGAIN_MS = { first: 5, most: DESTROY_WITHIN_MS };

/** Our chains and sets, as the kernel holds them. */
export async function readLoadedIptables(flavour: Flavour = 'default'): Promise<IptablesProgram> {
  return readText(await listIptables(flavour));
}

/** What the programs list: the form in which what is loaded can be kept, and told to another process. */
export interface IptablesText {
  readonly sets: string;
  readonly rules: Readonly<Record<Family, string>>;
}

async function listIptables(flavour: Flavour): Promise<IptablesText> {
  const [sets, v4, v6] = await Promise.all([listSets(), listRules('IPv4', flavour), listRules('IPv6', flavour)]);
  return { sets, rules: { IPv4: v4, IPv6: v6 } };
}

/** Our chains and sets, of what was listed. */
export function readText({ sets, rules }: IptablesText): IptablesProgram {
  return { sets: readIpsets(sets), families: { IPv4: readIptables(rules.IPv4), IPv6: readIptables(rules.IPv6) } };
}

/** What `ipset save` says. */
export async function listSets(): Promise<string> {
  return run('ipset', ['save']);
}

/** What is loaded of ours, by flavour. Asks only for what the kernel has tables of. */
export async function leftIptables(): Promise<ReadonlyMap<Flavour, IptablesProgram>> {
  return new Map((await left()).map(([flavour, { program }]) => [flavour, program]));
}

/** The same, as the programs list it. */
export async function listLeftIptables(): Promise<ReadonlyMap<Flavour, IptablesText>> {
  return new Map((await left()).map(([flavour, { listing }]) => [flavour, listing]));
}

async function left(): Promise<readonly (readonly [Flavour, LeftIptables])[]> {
  const found: (readonly [Flavour, LeftIptables])[] = [];
  for (const flavour of ['nft', 'legacy'] as const) {
    if (!(await hasTables(flavour))) continue;
    const [named, listing] = await listIptables(flavour).then(
      (listed) => [flavour, listed] as const,
      // Where there is only one, it goes by the plain name alone.
      async (error: unknown) => {
        if (error instanceof KernelError && error.code === 'unsupported') {
          return ['default', await listIptables('default')] as const;
        }
        throw error;
      },
    );
    const program = readText(listing);
    if (!isEmptyProgram(program)) found.push([named, { program, listing }]);
  }
  return found;
}

interface LeftIptables {
  readonly program: IptablesProgram;
  readonly listing: IptablesText;
}

/** True where the kernel has tables of either flavour in which rules of ours may be. */
export async function holdsTables(): Promise<boolean> {
  return (await hasTables('nft')) || (await hasTables('legacy'));
}

const TABLES = ['raw', 'mangle'];

async function hasTables(flavour: 'nft' | 'legacy'): Promise<boolean> {
  if (flavour === 'nft') {
    const tables = await listTables();
    return TABLES.some((table) => tables.has(`ip ${table}`) || tables.has(`ip6 ${table}`));
  }
  const names = await Promise.all(
    ['ip', 'ip6'].map(async (ip) => readFile(`/proc/net/${ip}_tables_names`, 'utf8').catch(() => '')),
  );
  return names.some((text) => text.split('\n').some((name) => TABLES.includes(name)));
}

export function isEmptyProgram({ sets, families }: IptablesProgram): boolean {
  const tables = Object.values(families);
  return sets.length === 0 && tables.every(({ raw, mangle }) => raw.length === 0 && mangle.length === 0);
}

/** Does nothing to a packet, which none of ours does. */
const UNLIKE_OURS: IptablesRule = {};

/** The same with nothing known of what it holds, so that everything is written again. */
export function doubted({ sets, families }: IptablesProgram): IptablesProgram {
  const chains = (some: readonly IptablesChain[]): readonly IptablesChain[] =>
    some.map((chain) => (isOursInIptables(chain.name) ? { ...chain, rules: [UNLIKE_OURS] } : chain));
  const tables = ({ raw, mangle }: FamilyTables): FamilyTables => ({
    zones: EMPTY_PROGRAM.families.IPv4.zones,
    raw: chains(raw),
    mangle: chains(mangle),
  });
  return {
    sets: sets.map((set) => ({ ...set, capacity: 0 })),
    families: { IPv4: tables(families.IPv4), IPv6: tables(families.IPv6) },
  };
}

/**
 * Runs a program that changes rules.
 * @param tables how many, each in a transaction of its own.
 * @param start is given what is to be called with the program's process id.
 */
export type CommitRules = (
  program: string,
  tables: number,
  start: (onStart: (pid: number) => void) => Promise<void>,
) => Promise<void>;

const commitUnheard: CommitRules = async (_program, _tables, start) => start(() => undefined);

export interface CarryOutOptions {
  readonly flavour?: Flavour;
  /** How programs that change rules are run, for a caller that hears of what they did. */
  readonly commit?: CommitRules;
}

/**
 * Carries out a plan.
 * @throws KernelError; what was narrowed before is as it was if the first rules are refused. Where rules are others already, or may be, it
 * stays narrow: the new rules with members of the former ones would let pass what neither policy does.
 */
export async function carryOut(
  { steps }: Pick<IptablesPlan, 'steps'>,
  { flavour = 'default', commit = commitUnheard }: CarryOutOptions = {},
): Promise<void> {
  let undo = '';
  for (const step of steps) {
    try {
      await carryOutStep(step, flavour, commit);
    } catch (error) {
      const isRefused = error instanceof KernelError && error.code !== 'interrupted';
      if (undo !== '' && isRefused) await run('ipset', ['restore'], undo).catch(() => undefined);
      throw error;
    }
    undo = step.kind === 'sets' ? step.undo : '';
  }
}

/** One step of a plan. */
export async function carryOutStep(
  step: IptablesStep,
  flavour: Flavour = 'default',
  commit: CommitRules = commitUnheard,
): Promise<void> {
  switch (step.kind) {
    case 'sets':
      await restoreSets(step.text);
      return;
    case 'rules': {
      const name = restoreProgram(step.family, flavour);
      await commit(name, countOf(step.text, COMMIT), async (onStart) => {
        await run(name, ['--noflush', '--wait', LOCK_SECONDS], step.text, onStart);
      });
      return;
    }
    case 'destroy-sets':
      await destroySets(step.names);
  }
}

/**
 * Line by line: what stands before a line that is refused was done. So that is doubt, and no port's fault: rules whose sets are missing
 * behind that line would be refused, too.
 */
async function restoreSets(text: string): Promise<void> {
  try {
    await run('ipset', ['restore'], text);
  } catch (error) {
    if (!(error instanceof KernelError) || error.code !== 'refused') throw error;
    throw new KernelError('interrupted', error.message, { cause: error });
  }
}

/** The end of a table's changes (iptables-restore(8)). */
const COMMIT = /^COMMIT$/gm;

function countOf(text: string, what: RegExp): number {
  return [...text.matchAll(what)].length;
}

/** True when the kernel would take the rules; nothing is applied. The sets that they ask must be there. */
export async function wouldTakeRules(family: Family, text: string): Promise<boolean> {
  try {
    await run(restoreProgram(family, 'default'), ['--noflush', '--test', '--wait', LOCK_SECONDS], text);
    return true;
  } catch (error) {
    if (error instanceof KernelError && error.code === 'refused') return false;
    throw error;
  }
}

/** Which of both `iptables` is here. */
export async function defaultFlavour(): Promise<'nft' | 'legacy'> {
  return (await run('iptables', ['--version'])).includes('nf_tables') ? 'nft' : 'legacy';
}

/**
 * Removes what is ours from iptables and ipset.
 * @param kept flavours whose rules stay, and the sets with them.
 * @returns false when there was nothing.
 */
export async function removeIptables(kept: readonly Flavour[] = []): Promise<boolean> {
  const stays = new Set(kept.includes('default') ? [...kept, await defaultFlavour()] : kept);
  const left = [...(await leftIptables())].filter(([flavour]) => !stays.has(flavour));
  // Rules of every flavour go before the sets that they ask.
  for (const [flavour, { families }] of left) {
    await carryOut(planIptables({ sets: [], families }, EMPTY_PROGRAM), { flavour });
  }
  if (kept.length === 0) {
    await destroySets([...new Set(left.flatMap(([, { sets }]) => sets.map(({ name }) => name)))]);
  }
  return left.length > 0;
}

async function destroySets(names: readonly string[]): Promise<void> {
  const until = performance.now() + DESTROY_WITHIN_MS;
  for (const name of names) {
    for (const backoff = new Backoff(DESTROY_AGAIN_MS); ;) {
      try {
        await run('ipset', ['destroy', name]);
        break;
      } catch (error) {
        if (error instanceof KernelError && error.message.includes('does not exist')) break;
        if (!(error instanceof KernelError) || error.code !== 'interrupted') throw error;
        // It holds no packet up: the next comparison finds it again.
        if (performance.now() > until) break;
        await setTimeout(backoff.take());
      }
    }
  }
}

/** What `iptables-save` says. */
export async function listRules(family: Family, flavour: Flavour): Promise<string> {
  return run(program(family, flavour, 'save'), []);
}

/** What `iptables-save -c` says of the table in which our rules are. */
export async function listCountedRules(family: Family): Promise<string> {
  return run(program(family, 'default', 'save'), ['-c', '-t', 'mangle']);
}

function restoreProgram(family: Family, flavour: Flavour): string {
  return program(family, flavour, 'restore');
}

function program(family: Family, flavour: Flavour, what: 'save' | 'restore'): string {
  const name = family === 'IPv4' ? 'iptables' : 'ip6tables';
  return flavour === 'default' ? `${name}-${what}` : `${name}-${flavour}-${what}`;
}

async function run(
  name: string,
  args: readonly string[],
  input = '',
  onStart: (pid: number) => void = () => undefined,
): Promise<string> {
  const result = await runProgram(name, args, { input, onStart });
  const what = [name, ...args].join(' ');
  switch (result.kind) {
    case 'not-started':
      if (result.code === 'ENOENT') {
        const of = name === 'ipset' ? 'ipset' : 'iptables';
        throw new KernelError('unsupported', `the program ${name} is missing: install the package ${of}`);
      }
      throw new KernelError('interrupted', `${what}: could not be started: ${result.code}`);
    case 'late':
      throw new KernelError('interrupted', `${what}: no answer in ${result.seconds.toString()} s: it was ended`);
    case 'killed':
      throw new KernelError('interrupted', `${what}: ended by ${result.signal}`);
    case 'ended':
      if (result.code === 0) return result.stdout;
      throw saidNo(result.stderr, what);
  }
}

function saidNo(stderr: string, what: string): KernelError {
  const [reason = 'no reason given'] = stderr
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#') && !line.startsWith('Try `'));
  if (/Permission denied|Operation not permitted|must be root/.test(stderr)) {
    return new KernelError('not-permitted', 'reading and changing the kernel firewall needs root (CAP_NET_ADMIN)');
  }
  const isBusy = /in use by a kernel component|Resource temporarily unavailable|holding the xtables lock/.test(stderr);
  return new KernelError(isBusy ? 'interrupted' : 'refused', `${what}: ${reason.trim()}`);
}
