// A folder of somebody's scripts that try the product from outside. They are not ours: we start them and count what they say.
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { serve, start } from './processes.mjs';

const PYTHON = '/usr/bin/python3';
/** The last line of each: what passed and what did not. */
const COUNTS = /^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$/;

/** @returns a row of the table for each script */
export async function lab({ root, folder }) {
  const scripts = ['datapath_cases.py', 'attacks.py', 'api_cases.py'];
  if (folder === undefined) return [row('a lab of your own', 'not run: no --lab FOLDER (or PORTCULLIS_LAB)')];
  const main = join(root, 'dist', 'src', 'cli', 'main.js');
  const rows = [];
  for (const script of scripts) {
    const path = join(folder, script);
    const why = !existsSync(path)
      ? `it is not in ${folder}`
      : script !== 'api_cases.py' && process.getuid?.() !== 0
        ? 'it needs root'
        : undefined;
    process.stdout.write(`\n${script}: ${why === undefined ? path : `not run: ${why}`}\n`);
    if (why !== undefined) rows.push(row(script, `not run: ${why}`));
    else if (script === 'api_cases.py')
      rows.push(await withApi(main, (url) => count(script, [path, url, ...against()])));
    else rows.push(await count(script, [path, process.execPath, main]));
  }
  return rows;
}

const row = (suite, why, failed = 0) => ({ suite, passed: 0, failed, skipped: 0, why });

/** The recorded answers of other APIs that PORTCULLIS_LAB_ANSWERS names, with commas between. */
function against() {
  const files = process.env.PORTCULLIS_LAB_ANSWERS;
  return files === undefined ? [] : ['--against', files];
}

async function withApi(main, use) {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-lab-'));
  try {
    const args = [main, 'api', '--listen', '127.0.0.1:0', '--store', join(folder, 'store'), '--rate', '100000'];
    const api = await serve(process.execPath, args, { isReady: (line) => /"address":"(http[^"]+)"/.exec(line)?.[1] });
    try {
      return await use(api.ready);
    } finally {
      await api.end();
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function count(suite, args) {
  let counts;
  const { ended } = start(PYTHON, args, {
    withErrors: true,
    // They have limits of their own, and some say nothing but what failed.
    mayBeSilent: true,
    onLine: (line) => {
      counts = COUNTS.exec(line) ?? counts;
      process.stdout.write(`${line}\n`);
    },
  });
  const { status, isSilent } = await ended;
  if (counts === undefined) return row(suite, isSilent ? 'it said nothing any more' : `it ended with ${status}`, 1);
  const [passed, failed, skipped = 0] = counts.slice(1).map((text) => Number(text ?? 0));
  const hasOther = status !== 0 && failed === 0;
  return { suite, passed, failed: hasOther ? 1 : failed, skipped, why: hasOther ? `it ended with ${status}` : '' };
}
