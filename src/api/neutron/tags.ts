/** Tags of networks, subnets, ports and security groups. */
import type { Writer } from '../writer.js';
import { ApiError, invalidInput } from '../errors.js';
import type { Records, TaggedKind } from '../records.js';
import { isObject, list, listOf, text } from '../kinds/parsers.js';
import type { SpecialFilters } from './query.js';
import { revised, type ChangeRequest } from './resource.js';

const MOST_TAGS = 50;
const MOST_CHARACTERS = 255;

/** The list in the body of a PUT or POST. @throws ApiError (400) */
export function tagsIn(body: unknown): readonly string[] {
  const given = isObject(body) ? body['tags'] : undefined;
  if (!Array.isArray(given))
    throw new ApiError('InvalidInput', "Invalid input for tags. Reason: 'tags' must be a list of strings.");
  const tags = list(text(MOST_CHARACTERS))(given, 'tags');
  if (tags.length > MOST_TAGS) throw invalidInput('tags', `more than ${MOST_TAGS.toString()} tags`);
  if (new Set(tags).size !== tags.length) throw invalidInput('tags', 'duplicate items in the list');
  return tags;
}

export function checkTag(tag: string): string {
  return text(MOST_CHARACTERS)(tag, 'tag');
}

export function tagNotFound(tag: string): Error {
  return new ApiError('TagNotFound', `Tag ${tag.slice(0, MOST_CHARACTERS)} could not be found.`);
}

/** Gives an object these tags and no others. */
export function setTags<K extends TaggedKind>(
  writer: Writer,
  kind: K,
  record: Records[K],
  tags: readonly string[],
  { now }: Pick<ChangeRequest, 'now'>,
): Records[K] {
  if (tags.length > MOST_TAGS) throw invalidInput('tags', `more than ${MOST_TAGS.toString()} tags`);
  const after = revised(record, { ...record, tags }, now);
  if (after !== record) writer.put(kind, after);
  return after;
}

type Filter = SpecialFilters[string];

const words = (values: readonly string[]): ReadonlySet<unknown> => new Set(values.flatMap((value) => value.split(',')));

const holdsAll: Filter = (values) => {
  const wanted = [...words(values)];
  return (item) => {
    const tags = new Set(listOf(item.value('tags')));
    return wanted.every((tag) => tags.has(tag));
  };
};

const holdsAny: Filter = (values) => {
  const wanted = words(values);
  return (item) => listOf(item.value('tags')).some((tag) => wanted.has(tag));
};

const not =
  (filter: Filter): Filter =>
  (values) => {
    const isMet = filter(values);
    return (item) => !isMet(item);
  };

export const TAG_FILTERS: SpecialFilters = {
  tags: holdsAll,
  'tags-any': holdsAny,
  'not-tags': not(holdsAll),
  'not-tags-any': not(holdsAny),
};
