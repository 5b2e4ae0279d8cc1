/** What a ruleset has beside the fixed part of all rulesets, for people to read. */

/** Lines of a table's objects by the first line of each, in the order of the text. */
type Blocks = ReadonlyMap<string, readonly string[]>;

/**
 * Of each table the objects that the fixed part does not have, or has otherwise. Those that are the same, in the same order, are one line; of
 * a set or map whose declaration is the same there are only the elements. So both texts together say what was compiled, to the byte.
 * @param text of a whole ruleset, as it is printed
 * @param fixed the same, of no port at all
 * @param file where that is
 */
export function goldenDifference(text: string, fixed: string, file: string): string {
  const [title = ''] = text.split('\n');
  const known = tablesOf(fixed);
  const own = tablesOf(text);
  if (`${title}\n${printed(own)}` !== text)
    throw new Error('the text of the rules has another form: some of it would not be shown');
  const tables = [...own].map(([header, blocks]) => {
    const lines = differing(blocks, known.get(header) ?? new Map<string, readonly string[]>(), file);
    return `${header}\n${lines.join('\n')}\n}\n`;
  });
  return `${title}\n${tables.join('\n')}`;
}

function tablesOf(text: string): ReadonlyMap<string, Blocks> {
  return new Map(
    [...text.matchAll(/^(table [^\n]+ \{)\n(.*?)^\}$/gms)].map(([, header = '', inside = '']): [string, Blocks] => [
      header,
      new Map(
        inside
          .trimEnd()
          .split('\n\n')
          .map((block) => {
            const lines = block.split('\n');
            return [lines[0] ?? '', lines];
          }),
      ),
    ]),
  );
}

/** As they were read. */
function printed(tables: ReadonlyMap<string, Blocks>): string {
  return [...tables]
    .map(([header, blocks]) => {
      const table = header.replace(/ \{$/, '');
      return `${table}\ndelete ${table}\n${header}\n${[...blocks.values()].map((lines) => `${lines.join('\n')}\n`).join('\n')}}\n`;
    })
    .join('\n');
}

function differing(blocks: Blocks, fixed: Blocks, file: string): readonly string[] {
  const order = [...fixed.keys()];
  const lines: string[] = [];
  let same: string[] = [];
  const endOfSame = (): void => {
    const [first, last] = [same[0], same.at(-1)];
    if (first !== undefined && last !== undefined) {
      const names = first === last ? nameOf(first) : `${nameOf(first)} to ${nameOf(last)}: ${same.length.toString()}`;
      lines.push(`\t# ${names} as in ${file}`);
    }
    same = [];
  };
  for (const [header, block] of blocks) {
    const old = fixed.get(header);
    if (old?.join('\n') === block.join('\n')) {
      const last = same.at(-1);
      if (last !== undefined && order.indexOf(header) !== order.indexOf(last) + 1) endOfSame();
      same.push(header);
    } else {
      endOfSame();
      lines.push(...changed(block, old));
    }
  }
  endOfSame();
  return [...lines, ...order.filter((header) => !blocks.has(header)).map((header) => `\t# no ${nameOf(header)}`)];
}

/** `set sources4`, of the line that begins it. */
function nameOf(header: string): string {
  return header.trim().replace(/ \{$/, '');
}

/** A chain is whole, since the order of its rules is what it means. */
function changed(block: readonly string[], old: readonly string[] | undefined): readonly string[] {
  const declaration = old?.slice(0, -1) ?? [];
  const isSet = block[0]?.startsWith('\tchain ') === false;
  const isSame = isSet && declaration.length > 0 && declaration.every((line, index) => block[index] === line);
  return isSame ? [block[0] ?? '', ...block.slice(declaration.length)] : block;
}
