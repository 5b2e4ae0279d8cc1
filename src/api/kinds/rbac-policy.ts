/** RBAC policies: objects that other projects may use. */
import { z } from 'zod';
import {
  attribute,
  defaulted,
  fixed,
  ID,
  optional,
  referring,
  required,
  STANDARD,
  TEXT,
  type RecordOf,
} from './attribute.js';
import { oneOf, text } from './parsers.js';

/** Kinds of objects that policies share. */
export const SHARED_TYPES = ['security_group', 'address_group', 'network'] as const;
const ACTION = 'access_as_shared';

export const RBAC_POLICY = {
  id: STANDARD.id,
  project_id: STANDARD.project_id,
  object_type: attribute(z.enum(SHARED_TYPES), z.enum(SHARED_TYPES), fixed(required(oneOf(SHARED_TYPES)))),
  object_id: referring(
    ({ object_type: type }) => SHARED_TYPES.find((one) => one === type),
    attribute(ID, z.string(), fixed(required(text(255)))),
  ),
  action: attribute(z.literal(ACTION), z.literal(ACTION), fixed(defaulted(oneOf([ACTION] as const), ACTION))),
  /** A project's id, or `*` for all. */
  target_tenant: attribute(TEXT, z.string(), optional(text(255))),
};

export type RbacRecord = RecordOf<typeof RBAC_POLICY>;
