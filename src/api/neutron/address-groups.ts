/** Address groups. */
import { randomUUID } from 'node:crypto';
import { deleteBy, type Writer } from '../writer.js';
import { ApiError, badRequest } from '../errors.js';
import type { AddressGroupRecord } from '../records.js';
import { isAny, type View } from '../state.js';
import { isObject, list } from '../kinds/parsers.js';
import { checkCompilable } from './compilable.js';
import { madeAt, revised, type ChangeRequest, type Resource } from './resource.js';
import { isShownShared, isUsable } from './sharing.js';
import { ADDRESS_GROUP, MOST_ADDRESSES, networkForm } from '../kinds/address-group.js';
import { specOf } from '../kinds/attribute.js';
import { shows } from './shows.js';

/** Address groups of one project, at most: Neutron knows no quota of them. */
const MOST_GROUPS = 100;
/** Addresses in the text of an error. */
const MOST_NAMED = 100;

const SPEC = specOf(ADDRESS_GROUP);

export const addressGroups: Resource<'address_group', typeof SPEC> = {
  kind: 'address_group',
  spec: SPEC,
  shows: shows(
    ADDRESS_GROUP,
    [
      'id',
      'name',
      'project_id',
      'shared',
      'addresses',
      'revision_number',
      'description',
      'created_at',
      'updated_at',
      'tenant_id',
    ],
    {
      shared: (group, { view, caller }) => isShownShared(group, view, caller),
    },
  ),
  isHiddenFromChanges: true,
  notFound: (id) => new ApiError('AddressGroupNotFound', `Address group ${id} could not be found.`),
  canSee: isUsable,
  create: (writer, { projectId, values, now }) => {
    const group: AddressGroupRecord = {
      id: randomUUID(),
      project_id: projectId,
      ...values,
      addresses: [...new Set(values.addresses)],
      ...madeAt(now, 1),
    };
    if (writer.view.countOf('address_group', projectId) >= MOST_GROUPS) {
      throw new ApiError('OverQuota', "Quota exceeded for resources: ['address_group'].");
    }
    reserveAddresses(writer.view, projectId, group.addresses.length);
    checkCompilable({ address_groups: [group] });
    writer.put('address_group', group);
    return group;
  },
  update: (writer, group, { values, now }) => {
    const after = revised(group, { ...group, ...values }, now);
    if (after !== group) writer.put('address_group', after);
    return after;
  },
  remove: (writer, group) => {
    if (isAny(writer.view.by('security_group_rule', 'remote_address_group_id', group.id))) {
      throw new ApiError(
        'AddressGroupInUse',
        `Address group ${group.id} is in use on one or more security group rules.`,
      );
    }
    // It is an administrator's, and keeps nobody from what is his.
    deleteBy(writer, 'default_security_group_rule', 'remote_address_group_id', group.id);
    deleteBy(writer, 'rbac_policy', 'object_id', group.id);
    writer.delete('address_group', group.id);
  },
};

function reserveAddresses(view: View, projectId: string, more: number): void {
  let sum = more;
  for (const { addresses } of view.addressGroupsOf(projectId)) sum += addresses.length;
  if (sum > MOST_ADDRESSES) {
    throw new ApiError('OverQuota', `Quota exceeded for addresses of address groups: ${MOST_ADDRESSES.toString()}.`);
  }
}

/** The addresses in the body of `add_addresses` and `remove_addresses`. @throws ApiError (400) */
export function addressesIn(body: unknown): readonly string[] {
  const given = isObject(body) ? body['addresses'] : undefined;
  if (!Array.isArray(given)) throw badRequest("Unable to find 'addresses' in request body");
  return [...new Set(list(networkForm, MOST_ADDRESSES)(given, 'addresses'))];
}

export function addAddresses(
  writer: Writer,
  group: AddressGroupRecord,
  addresses: readonly string[],
  { now }: Pick<ChangeRequest, 'now'>,
): AddressGroupRecord {
  const known = new Set(group.addresses);
  const present = addresses.filter((address) => known.has(address));
  if (present.length > 0) {
    throw new ApiError(
      'AddressesAlreadyExist',
      `Addresses ${present.slice(0, MOST_NAMED).join(', ')} already exist in the address group ${group.id}.`,
    );
  }
  reserveAddresses(writer.view, group.project_id, addresses.length);
  const after = revised(group, { ...group, addresses: [...group.addresses, ...addresses] }, now);
  checkCompilable({ address_groups: [{ ...after, addresses }] });
  writer.put('address_group', after);
  return after;
}

export function removeAddresses(
  writer: Writer,
  group: AddressGroupRecord,
  addresses: readonly string[],
  { now }: Pick<ChangeRequest, 'now'>,
): AddressGroupRecord {
  const known = new Set(group.addresses);
  const absent = addresses.filter((address) => !known.has(address));
  if (absent.length > 0) {
    throw new ApiError(
      'AddressesNotFound',
      `Addresses ${absent.slice(0, MOST_NAMED).join(', ')} not found in the address group ${group.id}.`,
    );
  }
  const gone = new Set(addresses);
  const after = revised(group, { ...group, addresses: group.addresses.filter((address) => !gone.has(address)) }, now);
  writer.put('address_group', after);
  return after;
}
