/** Security groups, and which of them is a project's default. */
import { flag, ID, kept, referring, STANDARD, TAGS, TEXT, words, type RecordOf } from './attribute.js';

export const SECURITY_GROUP = {
  ...STANDARD,
  name: words(255),
  description: words(255),
  stateful: flag(true),
  tags: TAGS,
};

export type GroupRecord = RecordOf<typeof SECURITY_GROUP>;

/** Which group is the project's `default`; its id is the project's. */
export const DEFAULT_GROUP = { id: kept(TEXT), security_group_id: referring('security_group', kept(ID)) };
