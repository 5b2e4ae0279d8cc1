/** A Neutron, asked as one user of its cloud: logs in, and again before the token ends or when it is refused; lists come whole. */
import { asked, AnswerError, isObject, pages, type Fields, type Heard } from './answer.js';
import { logIn, LoginError, type Credentials, type Session } from './login.js';

/** Of a page; a Neutron may give fewer (`pagination_max_limit`). */
const PAGE = 1000;
/** For an answer. */
const PATIENCE_MS = 20_000;
/** Of a token's life that is used. */
const USED_LIFE = 0.8;

export type Query = Readonly<Record<string, string | readonly string[]>>;

export type NeutronObject = Fields & { readonly id: string };

export class Neutron {
  #session: Session | undefined;
  /** When the token is renewed, by this process's clock; in milliseconds. */
  #renewAt = Infinity;
  #time: number | undefined;

  /**
   * @param cloud read at each login: who changes clouds.yaml restarts nothing. @throws LoginError
   * @param url without `/v2.0`; undefined for the one that the catalog names.
   * @param heard is told of each answer, the keystone's as well.
   */
  constructor(
    private readonly cloud: () => Credentials,
    private readonly url: string | undefined,
    private readonly heard: Heard,
  ) {}

  /** What the Neutron that answered last says that the time is, in milliseconds since the epoch; undefined before it has said so. */
  get time(): number | undefined {
    return this.#time;
  }

  /**
   * @param collection `security-groups`
   * @throws LoginError; AnswerError; Error, one line, for what is no such list.
   */
  async list(collection: string, query: Query, signal: AbortSignal): Promise<readonly NeutronObject[]> {
    const parameters = new URLSearchParams();
    for (const [name, value] of Object.entries({ ...query, limit: PAGE.toString() })) {
      for (const one of typeof value === 'string' ? [value] : value) parameters.append(name, one);
    }
    const session = await this.#login(signal);
    const url = `${this.#baseOf(session)}/v2.0/${collection}?${parameters.toString()}`;
    const found: NeutronObject[] = [];
    for await (const page of pages(url, collection.replaceAll('-', '_'), async (each) => this.#ask(each, signal))) {
      for (const one of page) {
        if (!isNeutronObject(one)) throw new Error(`${collection}: something without an id`);
        found.push(one);
      }
    }
    return found;
  }

  #baseOf({ networkUrl }: Session): string {
    const url = this.url ?? networkUrl;
    if (url === undefined) throw new LoginError('the catalog names no network service: valid is neutron:URL');
    return url.replace(/\/+$/, '').replace(/\/v2\.0$/, '');
  }

  /** Once more with a new token where the one that there is was refused. */
  async #ask(url: string, signal: AbortSignal): Promise<Fields> {
    const session = await this.#login(signal);
    try {
      return await this.#askWith(session, url, signal);
    } catch (error) {
      if (!(error instanceof AnswerError) || error.status !== 401) throw error;
      if (this.#session === session) this.#session = undefined;
      return this.#askWith(await this.#login(signal), url, signal);
    }
  }

  async #askWith({ token }: Session, url: string, signal: AbortSignal): Promise<Fields> {
    const question = {
      headers: { Accept: 'application/json', 'X-Auth-Token': token },
      signal: AbortSignal.any([signal, AbortSignal.timeout(PATIENCE_MS)]),
    };
    const { content, headers } = await asked(url, question, this.heard);
    const time = Date.parse(headers.get('date') ?? '');
    this.#time = Number.isNaN(time) ? Date.now() : time;
    return content;
  }

  async #login(signal: AbortSignal): Promise<Session> {
    if (this.#session !== undefined && performance.now() < this.#renewAt) return this.#session;
    const session = await logIn(this.cloud(), this.heard);
    signal.throwIfAborted();
    this.#renewAt = performance.now() + USED_LIFE * (session.lifetime ?? Infinity);
    this.#session = session;
    return session;
  }
}

function isNeutronObject(value: unknown): value is NeutronObject {
  return isObject(value) && typeof value['id'] === 'string' && /^[^/\s]+$/.test(value['id']);
}
