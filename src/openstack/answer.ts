/** One question to an OpenStack service, and what its answer says beside its content. */

export type Fields = Readonly<Record<string, unknown>>;

export function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The items of a list; none where it is no list. */
export function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** The service answers, and not as was asked; one line with the address. */
export class AnswerError extends Error {
  override readonly name = 'AnswerError';

  /** @param retryAfter as the answer has it; null for none. */
  constructor(
    message: string,
    readonly status: number,
    readonly retryAfter: string | null,
  ) {
    super(message);
  }
}

export interface Answer {
  readonly content: Fields;
  readonly headers: Headers;
}

/** Is told that somebody answers, whatever he says. */
export type Heard = () => void;

/**
 * @throws AnswerError for any status but success; Error, one line, for what is no whole JSON object. The address is without its query, so
 * that the same trouble has the same text.
 */
export async function asked(url: string, init: RequestInit, heard: Heard = () => undefined): Promise<Answer> {
  const place = url.split('?')[0] ?? url;
  try {
    const response = await fetch(url, init);
    heard();
    const text = await response.text();
    if (!response.ok) {
      const message = `${place}: answers ${response.status.toString()}: ${text.slice(0, 300).replace(/\s+/g, ' ')}`;
      throw new AnswerError(message, response.status, response.headers.get('retry-after'));
    }
    const content: unknown = text === '' ? {} : JSON.parse(text);
    if (!isObject(content)) throw new Error('answers something that is no object');
    return { content, headers: response.headers };
  } catch (error) {
    if (error instanceof AnswerError) throw error;
    throw new Error(`${place}: ${reasonOf(error)}`);
  }
}

/** One line; what a library says of a failure is in its cause, unless that says nothing (of a name with several addresses). */
export function reasonOf(error: unknown): string {
  const { cause: inner } = error instanceof Error ? error : {};
  const cause = inner instanceof Error && inner.message === '' ? error : (inner ?? error);
  return (cause instanceof Error ? cause.message : String(cause)).split('\n')[0] ?? '';
}

/** More pages than any cloud has: a service that gives the same ones again and again. */
const MOST_PAGES = 100_000;

/**
 * A list of a Neutron to its end, page by page.
 * @param url with its query.
 * @param key of the list in the answers: `security_groups`
 * @param ask a page
 * @throws Error for what is no such list, and what `ask` throws
 */
export async function* pages(
  url: string,
  key: string,
  ask: (page: string) => Promise<Fields>,
): AsyncGenerator<readonly unknown[]> {
  const seen = new Set<string>();
  const base = url.split('?')[0] ?? url;
  for (let page = url; seen.size < MOST_PAGES;) {
    const answer = await ask(page);
    const list = answer[key];
    if (!Array.isArray(list)) throw new Error(`${page}: no list of ${key} in the answer`);
    yield list as readonly unknown[];
    const next = nextLink(answer[`${key}_links`]);
    if (next === undefined || list.length === 0) return;
    seen.add(page);
    // By our own way to it: behind a proxy it may call itself by another name.
    page = `${base}${new URL(next, url).search}`;
    if (seen.has(page)) throw new Error(`${page}: the pages lead in a circle`);
  }
  throw new Error(`${url}: more than ${MOST_PAGES.toString()} pages`);
}

function nextLink(links: unknown): string | undefined {
  const all = Array.isArray(links) ? (links as readonly { readonly rel?: unknown; readonly href?: unknown }[]) : [];
  const href = all.find(({ rel }) => rel === 'next')?.href;
  return typeof href === 'string' ? href : undefined;
}
