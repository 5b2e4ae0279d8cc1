/** Servers, as far as they own ports. What clients say of them is Nova's matter (nova/servers.ts). */
import { z } from 'zod';
import { ID, kept, NULLABLE_TEXT, TEXT, type RecordOf } from './attribute.js';

export const SERVER = {
  id: kept(ID),
  name: kept(TEXT),
  project_id: kept(TEXT),
  user_id: kept(TEXT),
  created: kept(TEXT),
  updated: kept(TEXT),
  flavor: kept(TEXT),
  image: kept(TEXT),
  host: kept(TEXT),
  availability_zone: kept(TEXT),
  key_name: kept(NULLABLE_TEXT),
  metadata: kept(z.record(TEXT, TEXT)),
  /** Ports that were made for it or given to it, in order. One that names it otherwise is not its. */
  ports: kept(z.array(ID)),
  /** Those of them that were there before: they stay when it goes. */
  kept_ports: kept(z.array(ID)),
  /** Why it could not get its ports; null for one that did. */
  fault: kept(NULLABLE_TEXT),
  /** Of one that has no ports for that reason: the groups that they would have. */
  requested_groups: kept(z.array(ID)),
};

export type ServerRecord = RecordOf<typeof SERVER>;
