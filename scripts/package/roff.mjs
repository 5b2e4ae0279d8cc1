// Manual pages: the Markdown of docs/man as roff, for man(1). Just what our pages use: headings, paragraphs, indented blocks, terms with
// their definition behind a colon, tables, lists. What it does not know it refuses, so that nothing is shown as it was not meant.

/**
 * @param {string} page the Markdown; its first line is `# name(section)`, or several such names of one page
 * @param {{ version: string, date: string }} of what stands at the foot; the date as 2026-11-26
 * @returns {{ names: string[], section: string, roff: string }} the first name is the page's own
 */
export function roffOf(page, { version, date }) {
  const [title = '', ...rest] = page.split('\n');
  const [, first, section, others] = /^# ([a-z.-]+)\(([158])\)((?:, [a-z.-]+\(\2\))*)$/.exec(title) ?? [];
  if (first === undefined) throw new Error(`${title}: the first line of a manual page is "# name(section)"`);
  const names = [first, ...[...others.matchAll(/[a-z][a-z.-]*/g)].map(([name]) => name)];
  const head = [
    `'\\" t`,
    `.TH "${first.toUpperCase()}" "${section}" "${date}" "Portcullis ${version}" "Portcullis"`,
    // Nothing is hyphenated or stretched: what is read is copied.
    '.nh',
    '.ad l',
  ];
  const blocks = blocksOf(rest);
  const body = blocks.flatMap((lines, index) => {
    const isName = blocks[index - 1]?.[0] === '## NAME';
    return isName ? nameOf(names, lines) : blockToRoff(lines);
  });
  return { names, section, roff: `${[...head, ...body].join('\n')}\n` };
}

/** Lines between empty ones; a heading by itself; what is indented by four stays together over empty lines. */
function blocksOf(lines) {
  const blocks = [];
  let block = [];
  const end = () => {
    while (block.at(-1) === '') block.pop();
    if (block.length > 0) blocks.push(block);
    block = [];
  };
  for (const line of lines) {
    const isCode = line.startsWith('    ');
    const inCode = block[0]?.startsWith('    ') === true;
    if (line === '' && inCode) block.push(line);
    else if (line === '') end();
    else {
      if (line.startsWith('#') || (inCode && !isCode)) end();
      block.push(line);
      if (line.startsWith('#')) end();
    }
  }
  end();
  return blocks;
}

/** What apropos(1) reads: the page's names, a dash, and what it is. */
function nameOf(names, lines) {
  const [, what] = / - (.+)$/s.exec(lines.join(' ')) ?? [];
  if (what === undefined) throw new Error(`${names[0]}: NAME is not "name - what it is"`);
  return [`${names.map(escaped).join(', ')} \\- ${inline(what)}`];
}

function blockToRoff(lines) {
  const [first] = lines;
  if (first.startsWith('## ')) return [`.SH ${inline(first.slice(3))}`];
  if (first.startsWith('### ')) return [`.SS ${inline(first.slice(4))}`];
  if (first.startsWith('    ')) {
    return ['.PP', '.RS 4', '.nf', ...lines.map((line) => protectedLine(escaped(line.slice(4)))), '.fi', '.RE'];
  }
  if (first.startsWith('|')) return table(lines);
  const colon = lines.findIndex((line) => line.startsWith(': '));
  if (colon > 0) {
    const definition = [lines[colon].slice(2), ...lines.slice(colon + 1).map((line) => line.trim())];
    return ['.TP', text(lines.slice(0, colon)), text(definition)];
  }
  if (/^(- |\d+\. )/.test(first)) return list(lines);
  if (/^([#>`~]{1,3}( |$)|```|\s)/.test(first)) throw new Error(`${first}: no part of a manual page is written so`);
  return ['.PP', text(lines)];
}

function list(lines) {
  const items = [];
  for (const line of lines) {
    const [, mark, start] = /^(-|\d+\.) (.*)$/.exec(line) ?? [];
    if (mark === undefined) items.at(-1).lines.push(line.trim());
    else items.push({ mark: mark === '-' ? '\\(bu' : mark, lines: [start] });
  }
  return items.flatMap(({ mark, lines: own }) => [`.IP ${mark} 4`, text(own)]);
}

/** For tbl(1); each cell is a text of its own, so that long ones are broken. */
function table(lines) {
  const rows = lines.map((line) =>
    line
      .replace(/^\|\s*|\s*\|$/g, '')
      .split(/\s*(?<!\\)\|\s*/)
      .map((cell) => inline(cell)),
  );
  const [titles, rule, ...cells] = rows;
  if (rule?.every((cell) => /^[\\:-]+$/.test(cell)) !== true) throw new Error(`${lines[0]}: a table without a head`);
  const row = (texts) => texts.map((one) => `T{\n${protectedLine(one)}\nT}`).join('\t');
  const layout = titles.map((_title, index) => (index === titles.length - 1 ? 'lx' : 'l')).join(' ');
  return ['.TS', 'allbox;', `${layout}.`, [titles, ...cells].map(row).join('\n'), '.TE'];
}

function text(lines) {
  return protectedLine(inline(lines.join(' ')));
}

/** A line that begins with one of these would be an order to roff. */
function protectedLine(line) {
  return /^[.']/.test(line) ? `\\&${line}` : line;
}

/** Dashes as they are typed, so that what is copied from a page works. */
function escaped(words) {
  return words.replaceAll('\\', '\\e').replaceAll('-', '\\-');
}

/** Code and emphasis are bold, links are their text: what they lead to is not where the page is read. */
function inline(words) {
  return words
    .split(/(`[^`]+`)/)
    .map((part) =>
      part.startsWith('`') && part.length > 1
        ? `\\fB${escaped(part.slice(1, -1).replaceAll('\\|', '|'))}\\fR`
        : escaped(part)
            .replaceAll(/\[([^\]]+)\]\((https?:[^)]+)\)/g, '$1 ($2)')
            .replaceAll(/\[([^\]]+)\]\([^)]+\)/g, '$1')
            .replaceAll(/\*\*([^*]+)\*\*/g, '\\fB$1\\fR')
            .replaceAll(/(?<![\w*])\*([^*\s][^*]*)\*(?![\w*])/g, '\\fI$1\\fR'),
    )
    .join('');
}
