/** Documents -> the objects that they list, kind by kind; and what is wrong with a document as a whole. */
import { quoteValue, type ObjectKind } from '../problem.js';
import { quoteKey } from './fields.js';
import { didYouMean } from '../nearest.js';
import {
  field,
  isFields,
  itemsIn,
  objectsIn,
  Place,
  type Fields,
  type Item,
  type ProblemSink,
  type SourceDocument,
} from './report.js';

/** The keys of a topology, and the kind of object that each lists. */
const COLLECTIONS = {
  networks: 'network',
  subnets: 'subnet',
  address_groups: 'address group',
  security_groups: 'security group',
  security_group_rules: 'security group rule',
  ports: 'port',
} as const satisfies Readonly<Record<string, ObjectKind>>;

export type Collection = keyof typeof COLLECTIONS;

const NAMES = Object.keys(COLLECTIONS) as readonly Collection[];

/** What a dump of Neutron holds beside: of no meaning for what a host admits. */
const BESIDE: readonly string[] = ['rbac_policies', 'quotas', 'default_security_group_rules'];

export function collect(
  documents: readonly SourceDocument[],
  sink: ProblemSink,
): Readonly<Record<Collection, readonly Item[]>> {
  const items: Record<Collection, Item[]> = {
    networks: [],
    subnets: [],
    address_groups: [],
    security_groups: [],
    security_group_rules: [],
    ports: [],
  };
  for (const document of documents) {
    const { content } = document;
    const place = Place.of(document, sink);
    if (!isFields(content)) {
      // What is empty says nothing, and least of all that there are no ports.
      place.badValue(content ?? null, `a topology: an object with ${NAMES.join(', ')}; an empty one has empty lists`);
      continue;
    }
    const known = NAMES.filter((name) => Object.hasOwn(content, name));
    reportUnknownKeys(content, place);
    if (known.length === 0 && Object.keys(content).every(isLinks)) {
      place.error('shape', `no key of a topology: valid are ${NAMES.join(', ')}; an empty one has empty lists`);
    }
    for (const name of known) {
      if (content[name] === null) place.key(name).error('shape', 'missing: a list; that there are none is said by []');
      for (const item of itemsIn(COLLECTIONS[name], content[name], place.key(name))) items[name].push(item);
    }
  }
  return items;
}

function reportUnknownKeys(content: Fields, place: Place): void {
  for (const [name, value] of Object.entries(content)) {
    if (isCollection(name) || BESIDE.includes(name)) continue;
    const at = place.key(quoteKey(name));
    if (!isLinks(name)) {
      const valid = `valid are ${NAMES.join(', ')}`;
      at.error('unknown-field', `${quoteValue(name)} is no key of a topology${didYouMean(name, NAMES)}; ${valid}`);
    } else if (objectsIn(value, at).some(({ fields }) => field(fields, 'rel') === 'next')) {
      at.error('shape', 'this is one page of several: valid is all of it');
    }
  }
}

function isCollection(name: string): boolean {
  return (NAMES as readonly string[]).includes(name);
}

/** Neutron's answers name the pages before and after, as `ports_links`. */
function isLinks(name: string): boolean {
  return name.endsWith('_links') && isCollection(name.slice(0, -'_links'.length));
}
