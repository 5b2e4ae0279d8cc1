/**
 * JSON texts of objects by id. Ports of one network are told in texts that differ in an id, a MAC, an address and a host: what they have in common
 * is kept once, so that a port costs its own values and not the text as it was told.
 */

import { readObject } from './scopes.js';

/** Values that hardly two ports share, wherever they stand. JSON escapes a quote inside of a text, so that no text looks like that. */
const OWN_VALUE = /(?<="(?:id|mac_address|ip_address|binding:host_id)":")[^"\\\p{Cc}]*(?=")/gu;
/** In place of an own value, and of one that is the object's id. JSON has neither as it is. */
const [HOLE, ID_HOLE] = ['\x00', '\x01'];

/** What several texts have in common. */
interface Form {
  readonly text: string;
  readonly number: number;
  uses: number;
}

export class ObjectTexts {
  /** The number of the form, and the own values, a line each: one string costs less than an object with its parts. */
  readonly #own = new Map<string, string>();
  readonly #forms = new Map<string, Form>();
  readonly #byNumber = new Map<number, Form>();
  /** Numbers that are nobody's. */
  readonly #free: number[] = [];

  has(id: string): boolean {
    return this.#own.has(id);
  }

  ids(): Iterable<string> {
    return this.#own.keys();
  }

  get(id: string): string | undefined {
    const own = this.#own.get(id);
    if (own === undefined) return undefined;
    const [number, ...values] = own.split('\n');
    let next = 0;
    return this.#byNumber
      .get(Number(number))
      ?.text.replace(/\p{Cc}/gu, (hole) => (hole === ID_HOLE ? id : (values[next++] ?? '')));
  }

  /** The objects themselves, of texts that are objects. */
  *all(): Iterable<Readonly<Record<string, unknown>>> {
    for (const id of this.#own.keys()) yield readObject(id, this.get(id) ?? '');
  }

  set(id: string, text: string): void {
    const values: string[] = [];
    const form = text.replace(OWN_VALUE, (value) => {
      if (value === id) return ID_HOLE;
      values.push(value);
      return HOLE;
    });
    const before = this.#own.get(id);
    // Joined it is a string of its own, and keeps nothing of the text alive.
    this.#own.set(id, [this.#use(form).toString(), ...values].join('\n'));
    this.#leave(before);
  }

  delete(id: string): void {
    this.#leave(this.#own.get(id));
    this.#own.delete(id);
  }

  /** @returns the form's number. */
  #use(text: string): number {
    const known = this.#forms.get(text);
    const form = known ?? { text, number: this.#free.pop() ?? this.#byNumber.size, uses: 0 };
    form.uses++;
    if (known === undefined) {
      this.#forms.set(text, form);
      this.#byNumber.set(form.number, form);
    }
    return form.number;
  }

  #leave(own: string | undefined): void {
    const form = own === undefined ? undefined : this.#byNumber.get(Number.parseInt(own, 10));
    if (form === undefined || --form.uses > 0) return;
    this.#forms.delete(form.text);
    this.#byNumber.delete(form.number);
    this.#free.push(form.number);
  }
}
