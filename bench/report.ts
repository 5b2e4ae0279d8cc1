/**
 * What a benchmark found: printed as Markdown for whoever looks on, and kept as data for `bench/results` (scripts/bench.mjs says where).
 */
import { appendFileSync } from 'node:fs';

/** A name, and the unit of its numbers with the digits behind the point that mean something. */
export interface Column {
  readonly name: string;
  readonly unit?: 'ns' | 'ms' | 'MiB' | 'B' | '/s' | '';
  readonly digits?: number;
}

/** Undefined: could not be measured here. */
export type Cell = number | string | undefined;

/** True: fewer sizes and runs, for a look. */
export const IS_QUICK = process.argv.includes('--quick');

const ROWS = process.env['PORTCULLIS_BENCH_ROWS'];

export class Table {
  /** @param title as it is in bench/README.md */
  constructor(
    private readonly title: string,
    private readonly columns: readonly Column[],
  ) {
    const names = columns.map(({ name }) => name);
    say(`\n**${title}**\n\n${line(names)}\n${line(names.map(() => '---'))}`);
  }

  row(...cells: readonly Cell[]): void {
    say(line(cells.map((cell, at) => shown(cell, this.columns[at]))));
    if (ROWS === undefined) return;
    const data = Object.fromEntries(
      this.columns.map(({ name, unit = '' }, at) => [named(name, unit), cells[at] ?? null]),
    );
    appendFileSync(ROWS, `${JSON.stringify({ table: this.title, row: data })}\n`);
  }
}

/** A line beside the tables. */
export function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

function line(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`;
}

function shown(cell: Cell, column: Column | undefined): string {
  if (cell === undefined) return '-';
  if (typeof cell === 'string') return cell;
  const unit = column?.unit ?? '';
  return `${cell.toFixed(column?.digits ?? 0)}${unit === '' || unit === '/s' ? unit : ` ${unit}`}`;
}

function named(name: string, unit: string): string {
  return unit === '' ? name : `${name} (${unit})`;
}
