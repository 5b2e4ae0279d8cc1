/** The kernel and nft(8), simulated: strict tables, answers that take their time, and whatever can go wrong with either. */
import { closingTables, SETS_OF_DEVICES, type Opened } from '../../../agent/closing.js';
import type { Kernel } from '../../../agent/kernel/driver.js';
import { KernelError } from '../../../agent/kernel/errors.js';
import type { LoadedTable, RulesOfTable } from '../../../agent/kernel/loaded.js';
import { closingText } from '../../../agent/closing.js';
import {
  EMPTY_PROGRAM,
  printStage,
  printTables,
  readComment,
  ruleText,
  stateOf,
  TABLE_NAME,
  type CompileOptions,
  type Table,
  type TableFamily,
} from '../../../compiler/index.js';
import { asListed, type ReadRule } from '../../../compiler/listing.js';
import type { VirtualClock } from './clock.js';
import {
  applied,
  countAsked,
  declarationOf,
  dump,
  Refused,
  ruleOf,
  textOfTables,
  type FakeChain,
  type FakeTable,
  type FakeTables,
  type IsTaken,
} from './tables.js';

/** What becomes of a request; of one that only reads, what takes longer or fails. */
export type Fate =
  /** It takes three seconds. */
  | 'slow'
  /** It does not end by itself: after its deadline it is ended, and nothing was done. */
  | 'hangs'
  /** The same, and everything was done. */
  | 'done, then hangs'
  /** It is done, and the answer is lost. */
  | 'answer lost'
  /** It is interrupted before anything is done. */
  | 'interrupted'
  /** It says that it did, and did not. */
  | 'lies'
  /** It is done, and nobody is told of it. */
  | 'unheard';

/** A transaction that was made. */
export interface Commit {
  readonly generation: number;
  readonly portId: number;
  readonly before: FakeTables;
  readonly isHeard: boolean;
  /** Rules and elements that it names. */
  readonly asked: number;
}

const FAMILIES: readonly TableFamily[] = ['inet', 'arp', 'bridge'];
/** How long an answer takes, one way. In milliseconds. */
const HALFWAY = 2;
const SLOW = 3000;
/** As agent/kernel/program.ts has it. */
const DEADLINE = 10_000;

/** A host on which nothing of ours is in iptables, nor ever comes there. */
const NO_IPTABLES: Kernel['iptables'] = {
  read: async () => Promise.resolve(EMPTY_PROGRAM),
  left: async () => Promise.resolve(new Map()),
  listLeft: async () => Promise.resolve(new Map()),
  carryOut: async () => Promise.reject(new Error('not simulated')),
  remove: async () => Promise.resolve(false),
  wouldTake: async () => Promise.resolve(true),
  defaultFlavour: async () => Promise.resolve('nft'),
  listSets: async () => Promise.resolve(''),
  listRules: async () => Promise.resolve(''),
};

/** The transaction was for another generation. */
class Outdated extends Refused {}

export interface Machine {
  /** Transactions can be made without nft. */
  readonly isDirect: boolean;
  /** As agent/kernel/driver.ts has it. */
  readonly mostOfPiece: number;
}

export class SimulatedKernel {
  tables: FakeTables = new Map();
  /** Devices whose filtered port is refused. */
  readonly refusedDevices = new Set<string>();
  /** Of the requests to come. */
  readonly fates: Fate[] = [];
  /** When tables were read back last. */
  readAt = -Infinity;
  /** How many requests of the agent's are under way. */
  underWay = 0;
  #generation = 1;
  #nextPort = 1000;
  /** What nft lists of a set, by how it is declared. */
  readonly #signatures = new Map<string, string>();

  /**
   * @param onCommit is told of each transaction at once.
   */
  constructor(
    private readonly clock: VirtualClock,
    options: CompileOptions,
    private readonly machine: Machine,
    private readonly onCommit: (commit: Commit) => void,
  ) {
    this.learn(closingTables(options, ['eth0']));
  }

  /** Sets of these tables may be read back from now on. */
  learn(tables: readonly Table[]): void {
    for (const table of tables) {
      for (const [name, set] of table.sets) {
        const declaration = declarationOf(set);
        if (this.#signatures.has(declaration)) continue;
        const state = stateOf({ ...table, sets: new Map([[name, set]]), chains: new Map() }).sets.get(name);
        if (state !== undefined) this.#signatures.set(declaration, state.signature);
      }
    }
  }

  /** What the kernel holds, as text. */
  dump(): string {
    return dump(this.tables);
  }

  /** Somebody makes a transaction. @throws Refused */
  commit(text: string, portId: number, isHeard = true): void {
    this.replace(applied(this.tables, text, this.#isTaken), portId, isHeard, countAsked(text));
  }

  /** The same, of what no text says. */
  replace(after: FakeTables, portId: number, isHeard = true, asked = 0): void {
    const before = this.tables;
    this.tables = after;
    this.onCommit({ generation: ++this.#generation, portId, before, isHeard, asked });
  }

  nextPort(): number {
    return this.#nextPort++;
  }

  /** Devices that the tables know: what an agent that starts reads of the time before it. */
  devices(): readonly string[] {
    return FAMILIES.flatMap((family) => this.#devicesOf(this.tables.get(family)));
  }

  /**
   * The kernel as a process has it.
   * @param isAlive false once the process is gone: it gets no answer any more.
   */
  driver(isAlive: () => boolean): Kernel {
    const ask = async <T>(read: () => T): Promise<T> => this.#request(isAlive, read, 'read');
    return {
      mostOfPiece: async () => Promise.resolve(this.machine.mostOfPiece),
      // Over netlink, at once.
      readGeneration: async () => Promise.resolve(this.#generation),
      families: async () => Promise.resolve(this.#families()),
      devicesIn: async (family) => Promise.resolve(this.#devicesOf(this.tables.get(family))),
      readRules: async (family) => ask(() => this.#rulesOf(family)),
      saveTables: async () => ask(() => textOfTables(this.tables)),
      addTables: async (tables) => this.#apply(isAlive, printTables(tables), () => undefined),
      readTables: async () =>
        ask(() => {
          this.readAt = this.clock.now();
          return this.#loaded();
        }),
      compare: async (wanted) => {
        const loaded = await ask(() => {
          this.readAt = this.clock.now();
          return this.#loaded();
        });
        const asked = wanted();
        return ask(() => ({
          wanted: asked,
          loaded: judged(loaded, asked.tables),
          areBodiesKnown: true,
          byNft: undefined,
        }));
      },
      wouldApply: async (text) =>
        ask(() => {
          try {
            applied(this.tables, text, this.#isTaken);
            return true;
          } catch (error) {
            if (error instanceof Refused) return false;
            throw error;
          }
        }),
      applyText: async (text, onPort = () => undefined) => this.#apply(isAlive, text, onPort),
      withoutNft: async (stage) =>
        Promise.resolve(
          this.machine.isDirect && stage.closing === ''
            ? {
                kind: 'can',
                make: async (onPort, generation) => this.#apply(isAlive, printStage(stage), onPort, generation),
              }
            : { kind: 'cannot', why: 'only nft can' },
        ),
      whatIsOpen: async () => ask(() => this.#whatIsOpen()),
      close: async ({ options, devices, opened }, commit) =>
        commit(async (onPort) => {
          const portId = this.nextPort();
          onPort(portId);
          this.commit(closingText(options, devices, opened), portId);
          return Promise.resolve();
        }),
      isInIptables: async () => Promise.resolve(false),
      iptables: NO_IPTABLES,
      endPrograms: () => undefined,
    };
  }

  /** @param generation that the transaction is to follow; nft takes whichever there is. */
  async #apply(
    isAlive: () => boolean,
    text: string,
    onPort: (portId: number) => void,
    generation?: number,
  ): Promise<void> {
    const portId = this.nextPort();
    onPort(portId);
    await this.#request(
      isAlive,
      (isHeard) => {
        if (generation !== undefined && generation !== this.#generation) throw new Outdated('another generation');
        this.commit(text, portId, isHeard);
      },
      'write',
    );
  }

  async #request<T>(isAlive: () => boolean, carryOut: (isHeard: boolean) => T, kind: 'read' | 'write'): Promise<T> {
    const fate = this.fates.shift();
    this.underWay++;
    try {
      return await this.#underFate(fate, kind, carryOut);
    } finally {
      this.underWay--;
      // Nobody is there to be answered.
      if (!isAlive()) await new Promise(() => undefined);
    }
  }

  async #underFate<T>(fate: Fate | undefined, kind: 'read' | 'write', carryOut: (isHeard: boolean) => T): Promise<T> {
    await this.clock.sleep(fate === 'slow' ? SLOW : HALFWAY);
    const done = (isHeard = true): T => {
      try {
        return carryOut(isHeard);
      } catch (error) {
        if (error instanceof Outdated) throw new KernelError('outdated', error.message);
        throw error instanceof Refused ? new KernelError('refused', `nft: ${error.message}`) : error;
      }
    };
    // Made where it is thrown: the most requests end well, and an error takes its stack along.
    const interrupted = (): KernelError => new KernelError('interrupted', `nft: ${fate ?? ''}`);
    switch (fate) {
      case 'hangs':
        await this.clock.sleep(DEADLINE);
        throw interrupted();
      case 'interrupted':
        throw interrupted();
      case 'done, then hangs':
        done();
        await this.clock.sleep(DEADLINE);
        throw interrupted();
      case 'answer lost':
        done();
        throw interrupted();
      case 'lies':
        // Of what was only asked for there is nothing to lie about.
        if (kind === 'read') return done();
        return undefined as T;
      case 'unheard':
      case 'slow':
      case undefined: {
        const answer = done(fate !== 'unheard');
        await this.clock.sleep(HALFWAY);
        return answer;
      }
    }
  }

  readonly #isTaken: IsTaken = (set, key, data) =>
    set !== 'from_port' || !data.startsWith('goto ') || !this.refusedDevices.has(key.slice(1, -1));

  #devicesOf(table: FakeTable | undefined): readonly string[] {
    return SETS_OF_DEVICES.flatMap((name) =>
      [...(table?.sets.get(name)?.elements.keys() ?? [])].map((device) => device.slice(1, -1)),
    );
  }

  #families(): readonly TableFamily[] {
    return FAMILIES.filter((family) => this.tables.has(family));
  }

  #rulesOf(family: TableFamily): RulesOfTable | undefined {
    const table = this.#loaded().find((loaded) => loaded.family === family);
    if (table === undefined) return undefined;
    const chains = this.tables.get(family)?.chains ?? new Map<string, FakeChain>();
    return { table, rules: new Map([...chains].map(([name, { rules }]) => [name, rules.map(readRule)])) };
  }

  #loaded(): readonly LoadedTable[] {
    return FAMILIES.flatMap((family): LoadedTable[] => {
      const table = this.tables.get(family);
      if (table === undefined) return [];
      const chains = [...table.chains].map(([name, { hook, rules }]) => ({ name, hook, rules: rules.map(splitRule) }));
      return [
        {
          family,
          name: TABLE_NAME,
          oddities: table.isDormant ? 'dormant' : '',
          isOwnedByAnother: false,
          sets: new Map(
            [...table.sets].map(([name, { declaration, elements }]) => [
              name,
              {
                kind: declaration.startsWith('map') ? 'map' : 'set',
                signature: this.#signatures.get(declaration) ?? declaration,
                elements,
              },
            ]),
          ),
          chains: new Map(
            chains.map(({ name, hook, rules }) => [
              name,
              { hook: signatureOf(hook), comments: rules.map(({ comment }) => comment) },
            ]),
          ),
          bodies: new Map(chains.map(({ name, rules }) => [name, rules.map(({ body }) => body)])),
        },
      ];
    });
  }

  #whatIsOpen(): { readonly tables: readonly Opened[]; readonly known: ReadonlySet<string> } {
    const tables: Opened[] = [];
    const known = new Set<string>();
    for (const family of FAMILIES) {
      const table = this.tables.get(family);
      const closes = (chain: string): boolean => (table?.chains.get(chain)?.rules.length ?? 0) > 0;
      const isClosing = closes('egress') && (family === 'arp' || closes('ingress'));
      if (table?.isDormant === true) tables.push({ family, how: 'dormant' });
      else if (!isClosing) tables.push({ family, how: 'gone' });
      else for (const device of this.#devicesOf(table)) known.add(device);
    }
    return { tables, known };
  }
}

/** `type filter hook prerouting priority -150; policy accept;` as the compiler names it. */
function signatureOf(hook: string): string {
  const [, name = '', priority = ''] = /^type filter hook (\w+) priority (-?\d+); policy accept;$/.exec(hook) ?? [];
  return hook === '' ? '' : `filter ${name} ${priority} accept`;
}

/** Of somebody else's rule only the comment is known. */
function readRule(text: string): ReadRule {
  const rule = ruleOf(text);
  const { jump, conditions } = rule === undefined ? { jump: undefined, conditions: undefined } : asListed(rule);
  return { label: readComment(splitRule(text).comment).label, jump, conditions };
}

function splitRule(rule: string): { readonly body: string; readonly comment: string } {
  const at = rule.indexOf(' comment "');
  return at < 0 ? { body: rule, comment: '' } : { body: rule.slice(0, at), comment: rule.slice(at + 10, -1) };
}

/** As agent/kernel/loaded.ts has it: a rule that does something else than the wanted one of its comment is not that rule. */
function judged(loaded: readonly LoadedTable[], wanted: readonly Table[]): readonly LoadedTable[] {
  return loaded.map((table) => {
    const should = wanted.find(({ family }) => family === table.family)?.chains;
    const chains = [...table.chains].map(([name, chain]): [string, typeof chain] => {
      const [are, rules] = [table.bodies.get(name) ?? [], should?.get(name)?.rules];
      if (rules === undefined) return [name, chain];
      const comments = chain.comments.map((comment, index) => {
        const rule = rules[index];
        return rule !== undefined && are[index] === ruleText(rule) ? comment : `${comment} (by its comment)`;
      });
      return [name, { ...chain, comments }];
    });
    return { ...table, chains: new Map(chains) };
  });
}
