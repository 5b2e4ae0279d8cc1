/**
 * What the kernel holds, by what it is. A listing says sets, chains and comments; what a rule *does* is compared in the kernel's own
 * instructions, since a comment says only what the rule was once.
 *
 * Both sides come out of the same nft(8): what is loaded from `--debug=netlink list`, what is wanted from `--check --debug=netlink`
 * of its text. So no version of nft has to list a rule as another one does, and nothing is written to the kernel to find out.
 */
import {
  printTable,
  TABLE_NAME,
  type NamedSet,
  type Table,
  type TableFamily,
  type TableState,
} from '../../compiler/index.js';
import { readListing, type ReadRule } from '../../compiler/listing.js';
import { NFT_TABLE_F_DORMANT } from '../netlink/nf-tables-header.js';

/** What the rules of each chain do, in order. */
type Bodies = ReadonlyMap<string, readonly string[]>;

export interface LoadedTable extends TableState {
  /** By chain. */
  readonly bodies: Bodies;
  /** Nobody but the socket that made it may change it (flag `owner`). */
  readonly isOwnedByAnother: boolean;
}

/** A table with what its rules ask, for who speaks of them in the words of permissions. */
export interface RulesOfTable {
  readonly table: TableState;
  /** By chain. */
  readonly rules: ReadonlyMap<string, readonly ReadRule[]>;
}

/** A table of this name is only checked, never loaded. */
const CHECKED_NAME = 'portcullis_check';

/**
 * @param flags of the table, as netlink has them.
 * @param listing what `nft --json --debug=netlink list table` said.
 * @throws Error when it has not the documented form.
 */
export function readLoadedTable(family: TableFamily, flags: number, listing: string): LoadedTable {
  const begin = listing.startsWith('{"nftables"') ? 0 : listing.indexOf('\n{"nftables"');
  const json: unknown = JSON.parse(listing.slice(Math.max(begin, 0)));
  const state = readListing(family, TABLE_NAME, json);
  const oddities = [
    ...((flags & NFT_TABLE_F_DORMANT) === 0 ? [] : ['dormant']),
    ...(state.oddities === '' ? [] : [state.oddities]),
  ];
  return {
    ...state,
    oddities: oddities.join(', '),
    isOwnedByAnother: false,
    bodies: readBodies(begin <= 0 ? '' : listing.slice(0, begin), family, TABLE_NAME),
  };
}

/** A table that nobody else may change; nft 1.0.6 cannot list one as JSON. */
export function tableOfAnother(family: TableFamily): LoadedTable {
  const nothing = { sets: new Map(), chains: new Map(), bodies: new Map() };
  return { family, name: TABLE_NAME, oddities: 'owned by another program', isOwnedByAnother: true, ...nothing };
}

/** Text whose instructions are those of the tables' rules, for {@link withTrueBodies}; elements of sets do not matter to them. */
export function textToCheck(tables: readonly Table[]): string {
  return tables
    .map((table) => {
      const sets = new Map([...table.sets].map(([name, set]) => [name, withoutElements(set)]));
      const text = printTable({ ...table, name: CHECKED_NAME, sets });
      // Even for the instant of a check no hook is to be registered.
      return text.replace('{\n', '{\n\tflags dormant\n');
    })
    .join('');
}

/**
 * The loaded tables, where a rule that does something else than the wanted one of its comment does not have that comment: it is not
 * that rule.
 * @param instructions what nft says of {@link textToCheck} of the wanted tables.
 * @returns undefined when what nft says cannot be read: then bodies are not known.
 */
export function withTrueBodies(
  loaded: readonly LoadedTable[],
  wanted: readonly Table[],
  instructions: string,
): readonly LoadedTable[] | undefined {
  const known = new Map<TableFamily, Bodies>();
  for (const table of wanted) {
    const bodies = readBodies(instructions, table.family, CHECKED_NAME);
    for (const { name, rules } of table.chains.values()) {
      if ((bodies.get(name)?.length ?? 0) !== rules.length) return undefined;
    }
    known.set(table.family, bodies);
  }
  const judged: LoadedTable[] = [];
  for (const table of loaded) {
    const chains = new Map(table.chains);
    for (const [name, chain] of table.chains) {
      const are = table.bodies.get(name) ?? [];
      if (are.length !== chain.comments.length) return undefined;
      const should = known.get(table.family)?.get(name);
      if (should === undefined) continue;
      const comments = chain.comments.map((comment, index) =>
        are[index] === should[index] ? comment : `${comment} (by its comment)`,
      );
      chains.set(name, { ...chain, comments });
    }
    judged.push({ ...table, chains });
  }
  return judged;
}

function withoutElements(set: NamedSet): NamedSet {
  const { content } = set;
  switch (content.data) {
    case 'tally':
      return set;
    case 'none':
      return { ...set, content: { ...content, elements: [] } };
    case 'verdict':
      return { ...set, content: { ...content, elements: [] } };
    case 'zone':
      return { ...set, content: { ...content, elements: [] } };
  }
}

/**
 * Reads nft's debug output, which is blocks of a line and what is indented below it. A rule is family, table and chain, and its
 * instructions below. Sets without a name that it asks stand before it with their elements: `__set0`, or `__set%d` while the kernel
 * has given them no number yet.
 */
function readBodies(text: string, family: TableFamily, table: string): Bodies {
  const bodies = new Map<string, string[]>();
  const numbered = new Map<string, string>();
  /** What the sets without a number hold that came since the last rule. */
  let unnumbered: string[] = [];
  for (const { head, lines } of blocksOf(text)) {
    const set = /^(?:\S+ \S+ @)?(__(?:set|map)(?:\d+|%d))(?: |$)/.exec(head)?.[1];
    if (set !== undefined) {
      const content = elementsIn(lines);
      if (!set.endsWith('%d')) numbered.set(set, content);
      else if (content !== '') unnumbered.push(content);
      continue;
    }
    const [ofFamily, ofTable, chain = '', ...handles] = head.split(' ');
    if (!handles.every((word) => /^\d*$/.test(word)) || !lines.some((line) => line.startsWith('  [ '))) continue;
    const asked: string[] = [];
    const instructions = lines
      .filter((line) => line.startsWith('  [ '))
      .map((line) =>
        instructionIn(line, (name) => {
          const content = numbered.get(name);
          if (content !== undefined) asked.push(content);
        }),
      );
    const body = [...instructions, ...[...asked, ...unnumbered].sort()].join('\n');
    unnumbered = [];
    if (ofFamily !== family || ofTable !== table) continue;
    const others = bodies.get(chain);
    if (others === undefined) bodies.set(chain, [body]);
    else others.push(body);
  }
  return bodies;
}

function* blocksOf(text: string): Iterable<{ readonly head: string; readonly lines: readonly string[] }> {
  let block: { head: string; lines: string[] } | undefined;
  for (const line of text.split('\n')) {
    if (/^\s/.test(line)) block?.lines.push(line);
    else if (line !== '') {
      if (block !== undefined) yield block;
      block = { head: line, lines: [] };
    }
  }
  if (block !== undefined) yield block;
}

/** In one order, whatever the order of the listing; several may share a line. */
function elementsIn(lines: readonly string[]): string {
  return lines
    .flatMap((line) => line.split('\telement '))
    .map((element) => element.replace(/\s+/g, ' ').trim())
    .filter((element) => element !== '')
    .sort()
    .join(', ');
}

/** Without what counts, without what only the kernel fills in, and without the names of nameless sets, which are told. */
function instructionIn(line: string, onNameless: (name: string) => void): string {
  return line
    .trim()
    .replace(/pkts \d+ bytes \d+/g, 'pkts bytes')
    .replace(/ timeout 0ms/, '')
    .replace(/^(\[ lookup .*?) 0x0 \]$/, '$1 ]')
    .replace(/__(?:set|map)(?:\d+|%d)/g, (name) => {
      onNameless(name);
      return 'nameless';
    });
}
