/**
 * What Neutron's broker carries, as hints. Two kinds of messages, both in an envelope of oslo.messaging (protocol 2.0):
 *
 * - versioned objects, which Neutron pushes to its agents (`neutron/api/rpc/handlers/resources_rpc.py`, exchanges
 *   `neutron-vo-KIND-VERSION_fanout`): the whole object when it was made or changed, no more than its id when it is gone;
 * - notifications (exchange `neutron`, topic `notifications.info`), where Neutron's operator switched them on: the object as the API shows it.
 *
 * What is not understood says nothing: it was not for us.
 */
import { z } from 'zod';
import { jsonOf } from '../../../compiler/model/json-text.js';
import type { Hint } from './hints.js';

const ENVELOPE = z.object({ 'oslo.message': z.string() });

const PUSH = z.object({
  method: z.literal('push'),
  args: z.object({ event_type: z.string(), resource_list: z.array(z.unknown()) }),
});
const OBJECT = z.object({ 'versioned_object.name': z.string(), 'versioned_object.data': z.unknown() });

const NOTIFICATION = z.object({ event_type: z.string(), payload: z.looseObject({}) });

/**
 * Neutron's are UUIDs. A question is made of them, and who forges one that no address has room for would have it fail, with whatever else is
 * asked for in it.
 */
const ID = z.string().regex(/^[\w-]{1,64}$/);
const TEXTS = z.array(z.string()).catch([]);
const REVISION = z.int().optional().catch(undefined);
const TEXT = z.string().optional().catch(undefined);
const BINDING = z.object({ 'versioned_object.data': z.object({ host: z.string() }) });
const PORT_OBJECT = z.object({
  id: ID,
  revision_number: REVISION,
  security_group_ids: TEXTS,
  bindings: z.array(BINDING.optional().catch(undefined)).catch([]),
});
const PORT = z.object({
  id: ID,
  revision_number: REVISION,
  security_groups: TEXTS,
  'binding:host_id': TEXT,
});
const GROUP = z.object({ id: ID, revision_number: REVISION });
const RULE = z.object({ id: ID, security_group_id: TEXT });
const ADDRESS_GROUP = z.object({ id: ID });

/** @param body of a message, as it came. */
export function hintsOf(body: string): readonly Hint[] {
  const envelope = ENVELOPE.safeParse(jsonOf(body));
  const message = envelope.success ? jsonOf(envelope.data['oslo.message']) : undefined;
  const push = PUSH.safeParse(message);
  if (push.success) {
    const isGone = push.data.args.event_type === 'deleted';
    return push.data.args.resource_list.flatMap((one) => {
      const { success, data } = OBJECT.safeParse(one);
      return success ? hintOfObject(data['versioned_object.name'], data['versioned_object.data'], isGone) : [];
    });
  }
  const notification = NOTIFICATION.safeParse(message);
  return notification.success ? hintsOfNotification(notification.data) : [];
}

function hintOfObject(name: string, data: unknown, isGone: boolean): readonly Hint[] {
  switch (name) {
    case 'Port': {
      const port = PORT_OBJECT.safeParse(data);
      if (!port.success) return [];
      const { id, revision_number: revision, security_group_ids: groups, bindings } = port.data;
      const hosts = bindings.flatMap((binding) => binding?.['versioned_object.data'].host ?? []);
      return [{ kind: 'port', id, revision: isGone ? undefined : revision, hosts, groups }];
    }
    case 'SecurityGroup':
      return hintOf('security_group', data, isGone);
    case 'SecurityGroupRule':
      return hintOf('security_group_rule', data, isGone);
    case 'AddressGroup':
      return hintOf('address_group', data, isGone);
    default:
      return [];
  }
}

/** @param kind as notifications and the API name it. */
function hintOf(kind: string, data: unknown, isGone: boolean): readonly Hint[] {
  switch (kind) {
    case 'port': {
      const port = PORT.safeParse(data);
      if (!port.success) return [];
      const { id, revision_number: revision, security_groups: groups, 'binding:host_id': host } = port.data;
      const hosts = host === undefined ? [] : [host];
      return [{ kind: 'port', id, revision: isGone ? undefined : revision, hosts, groups }];
    }
    case 'security_group': {
      const group = GROUP.safeParse(data);
      if (!group.success) return [];
      return [{ kind: 'group', id: group.data.id, revision: isGone ? undefined : group.data.revision_number }];
    }
    case 'security_group_rule': {
      const rule = RULE.safeParse(data);
      return rule.success ? [{ kind: 'rule', id: rule.data.id, group: rule.data.security_group_id }] : [];
    }
    case 'address_group': {
      const group = ADDRESS_GROUP.safeParse(data);
      return group.success ? [{ kind: 'address group', id: group.data.id }] : [];
    }
    default:
      return [];
  }
}

/** `port.update.end`: what is about to be done (`….start`) is not done yet. One object, or, made together, a list of them. */
function hintsOfNotification({ event_type: type, payload }: z.infer<typeof NOTIFICATION>): readonly Hint[] {
  const [, kind = '', verb = ''] = /^([a-z_]+)\.([a-z_]+)\.end$/.exec(type) ?? [];
  const several = payload[`${kind}s`];
  const id = payload[`${kind}_id`];
  const objects = Array.isArray(several)
    ? (several as readonly unknown[])
    : [payload[kind] ?? (id === undefined ? undefined : { id })];
  return objects.flatMap((object) => hintOf(kind, object, verb === 'delete'));
}
