/** A project's own limits; its id is the project's. -1 stands for no limit. */
import { z } from 'zod';
import { kept, TEXT } from './attribute.js';

export const QUOTA_NAMES = [
  'network',
  'subnet',
  'subnetpool',
  'port',
  'rbac_policy',
  'security_group',
  'security_group_rule',
] as const;
export type QuotaName = (typeof QUOTA_NAMES)[number];

export const QUOTA = {
  id: kept(TEXT),
  limits: kept(z.partialRecord(z.enum([...QUOTA_NAMES, 'instances']), z.int().min(-1))),
};
