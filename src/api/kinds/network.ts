/** Networks: as much of them as ports need. */
import { z } from 'zod';
import {
  attribute,
  choice,
  defaulted,
  fixed,
  flag,
  nullableText,
  STANDARD,
  TAGS,
  unchanged,
  whole,
  words,
  type RecordOf,
} from './attribute.js';
import { integer, nullable, text } from './parsers.js';

const TYPES = ['local', 'flat', 'vlan', 'vxlan', 'gre', 'geneve'] as const;
/** 24 bits, as VXLAN has (RFC 7348); of a network of type vlan fewer. */
const MOST_SEGMENT = 16_777_215;

export const NETWORK = {
  ...STANDARD,
  name: words(255),
  description: words(255),
  admin_state_up: flag(true),
  mtu: whole(68, 65_535, 1500),
  shared: flag(false),
  'router:external': flag(false),
  port_security_enabled: flag(true),
  'provider:network_type': unchanged(choice(TYPES, 'local')),
  'provider:physical_network': unchanged(nullableText(text(64))),
  'provider:segmentation_id': attribute(
    z.int().nullable(),
    z.number().nullable().default(null),
    fixed(defaulted(nullable(integer(1, MOST_SEGMENT)), null)),
  ),
  tags: TAGS,
};

export type NetworkRecord = RecordOf<typeof NETWORK>;
