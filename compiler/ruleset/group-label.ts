/** What the comment of a group's rule says: whose it is and which of its rules it stands for. Written, and read back. */

const MOST_IDS = 3;
/** Of an id; in characters. */
const READABLE = 13;

export function groupLabel(name: string, ids: readonly string[]): string {
  const shown = ids.slice(0, MOST_IDS).map((id) => id.slice(0, READABLE));
  const more = ids.length - shown.length;
  return `${name}: ${ids.length === 1 ? 'rule' : 'rules'} ${shown.join(' ')}${more > 0 ? ` and ${String(more)} more` : ''}`;
}

export interface GroupLabel {
  readonly name: string;
  /** How the id of the rule begins; undefined for several, of which a lookup does not say which it was. */
  readonly rule: string | undefined;
}

/** What {@link groupLabel} said; undefined for another label, and for one that was cut before its end. */
export function readGroupLabel(label: string): GroupLabel | undefined {
  const [, name, kind, ids] = /^(.+): (rules?) (.*)$/.exec(label) ?? [];
  return name === undefined ? undefined : { name, rule: kind === 'rule' ? ids : undefined };
}
