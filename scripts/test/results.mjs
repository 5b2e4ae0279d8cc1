// What became of the tests: read from what reporter.mjs wrote, counted, and told.
import { existsSync, readFileSync } from 'node:fs';
import { stripVTControlCharacters } from 'node:util';

/** Lines of a failure's testimony that are shown; the whole is in the report file. */
const MOST_LINES = 200;
/** The name of a failure that is no test's. */
export const WHOLE = 'the whole tier';

/** The tests of one tier. */
export class Results {
  passed = 0;
  failed = 0;
  skipped = [];
  failures = [];
  #running = new Map();
  #taken = 0;

  /** @param {string} path of the file of events */
  constructor(path) {
    this.path = path;
  }

  /** Reads what is new. */
  take() {
    if (!existsSync(this.path)) return;
    const text = readFileSync(this.path, 'utf8');
    const end = text.lastIndexOf('\n') + 1;
    for (const line of text.slice(this.#taken, end).split('\n')) if (line !== '') this.#event(JSON.parse(line));
    this.#taken = end;
  }

  /** Counts what is not a test's own failure: a tier that ended before its tests, a hook. */
  fail(name, message) {
    this.failed++;
    this.failures.push({ file: '', name, errors: [{ message, stack: '', diff: '' }], testimony: undefined });
  }

  get count() {
    return this.passed + this.failed + this.skipped.length;
  }

  /** Names of the tests that run now. */
  get running() {
    return [...this.#running.values()].map(({ name }) => name);
  }

  #event(event) {
    const key = `${event.file} ${event.name}`;
    switch (event.kind) {
      case 'begin':
        this.#running.set(key, event);
        break;
      case 'end':
        this.#running.delete(key);
        if (event.state === 'passed') this.passed++;
        else if (event.state === 'failed') {
          this.failed++;
          this.failures.push(event);
        } else this.skipped.push(event.name);
        break;
      case 'broken':
        this.failed++;
        this.failures.push(event);
        break;
    }
  }
}

/** Everything that helps with a failure, in one block. */
export function failureBlock({ file, name, errors, testimony }, tier, seed) {
  const lines = [`FAILED ${tier}: ${[file, name].filter((part) => part !== '').join(' > ')}`];
  for (const { message, stack, diff } of errors) {
    lines.push(stripVTControlCharacters(message), ...(diff === '' ? [] : [stripVTControlCharacters(diff)]));
    lines.push(
      ...stack
        .split('\n')
        .filter((line) => line.trim().startsWith('at ') && !line.includes('node_modules'))
        .slice(0, 6),
    );
  }
  if (testimony !== undefined && testimony !== '') {
    const told = testimony.split('\n');
    lines.push(...told.slice(0, MOST_LINES));
    if (told.length > MOST_LINES) lines.push(`(${told.length - MOST_LINES} lines more)`);
  }
  // vitest's names have " > " between suites and test, where its own filter has a blank.
  const only = name === '' ? file : name.replaceAll(' > ', ' ');
  lines.push(
    `seed: ${seed}`,
    `alone: npm test -- --tier ${tier} --seed ${seed} --only '${only.replaceAll("'", "'\\''")}'`,
  );
  return lines.join('\n');
}

/** vitest writes one JUnit file a tier: one for all. */
export function mergedJunit(texts) {
  const suites = texts.map((text) => /<testsuites[^>]*>([\s\S]*)<\/testsuites>/.exec(text)?.[1] ?? '');
  return `<?xml version="1.0" encoding="UTF-8" ?>\n<testsuites name="portcullis">${suites.join('')}</testsuites>\n`;
}
