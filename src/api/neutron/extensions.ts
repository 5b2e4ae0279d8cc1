/** The extensions that clients and tests ask for before they use what we have (reference: Neutron's own aliases). */
import type { Fields } from '../kinds/parsers.js';

const EXTENSIONS: readonly (readonly [alias: string, name: string, description: string])[] = [
  ['address-group', 'Address group', 'Support address group'],
  ['allowed-address-pairs', 'Allowed Address Pairs', 'Provides allowed address pairs'],
  ['binding', 'Port Binding', 'Expose port bindings of a virtual port to external application'],
  [
    'empty-string-filtering',
    'Empty String Filtering Extension',
    'Allow filtering by attributes with empty string value',
  ],
  ['external-net', 'Neutron external network', 'Adds external network attribute to network resource.'],
  ['extra_dhcp_opt', 'Neutron Extra DHCP options', 'Extra options configuration for DHCP'],
  ['filter-validation', 'Filter parameters validation', 'Provides validation on filter parameters.'],
  [
    'ip-substring-filtering',
    'IP address substring filtering',
    'Provides IP address substring filtering when listing ports',
  ],
  ['net-mtu', 'Network MTU', 'Provides MTU attribute for a network resource.'],
  ['net-mtu-writable', 'Network MTU (writable)', 'Provides a writable MTU attribute for a network resource.'],
  ['pagination', 'Pagination support', 'Extension that indicates that pagination is enabled.'],
  ['port-mac-address-regenerate', 'Neutron Port MAC address regenerate', 'Network port MAC address regenerate'],
  ['port-security', 'Port Security', 'Provides port security'],
  [
    'port-security-groups-filtering',
    'Port filtering on security groups',
    'Provides security groups filtering when listing ports',
  ],
  ['project-id', 'project_id field enabled', 'Extension that indicates that project_id field is enabled.'],
  ['provider', 'Provider Network', 'Expose mapping of virtual networks to physical networks'],
  [
    'quota-check-limit',
    'Quota engine limit check',
    'Support for checking the resource usage before applying a new quota limit',
  ],
  ['quota_details', 'Quota details management support', 'Expose functions for quotas usage statistics per project'],
  ['quotas', 'Quota management support', 'Expose functions for quotas management per project'],
  ['rbac-address-group', 'Add address_group type to RBAC', 'Add address_group type to network RBAC'],
  [
    'rbac-policies',
    'RBAC Policies',
    'Allows creation and modification of policies that control tenant access to resources.',
  ],
  ['rbac-security-groups', 'Add security_group type to network RBAC', 'Add security_group type to network RBAC'],
  [
    'revision-if-match',
    'If-Match constraints based on revision_number',
    'Extension indicating that If-Match based on revision_number is supported.',
  ],
  ['security-group', 'security-group', 'The security groups extension.'],
  [
    'security-groups-default-rules',
    'Default rules for security groups',
    'Configure set of security group rules used as default rules for every new security group.',
  ],
  [
    'security-groups-normalized-cidr',
    'Normalized CIDR field for security group rules',
    'Add new field with normalized remote_ip_prefix cidr in SG rule',
  ],
  [
    'security-groups-remote-address-group',
    'Remote address group id field for security group rules',
    'Add new field of remote address group id in SG rules',
  ],
  [
    'security-groups-shared-filtering',
    'Security group filtering on the shared field',
    'Support filtering security groups on the shared field',
  ],
  ['sort-key-validation', 'Sort key validation', 'Provides validation on sort keys.'],
  ['sorting', 'Sorting support', 'Extension that indicates that sorting is enabled.'],
  ['standard-attr-description', 'standard-attr-description', 'Extension to add descriptions to standard attributes'],
  [
    'standard-attr-revisions',
    'Resource revision numbers',
    'This extension will display the revision number of neutron resources.',
  ],
  [
    'standard-attr-tag',
    'Tag support for resources with standard attribute',
    'Enables to set tag on resources with standard attribute.',
  ],
  [
    'standard-attr-timestamp',
    'Resource timestamps',
    'Adds created_at and updated_at fields to all Neutron resources that have Neutron standard attributes.',
  ],
  ['stateful-security-group', 'Stateful security group', 'Indicates if the security group is stateful or not'],
  ['tag-creation', 'Create tags', 'Adds several tags at once'],
  ['tag-ports-during-bulk-creation', 'Tag Ports During Bulk Creation', 'Allow to tag ports during bulk creation'],
];

export const extensions: readonly Fields[] = EXTENSIONS.map(([alias, name, description]) => ({
  name,
  alias,
  description,
  updated: '2026-01-01T00:00:00-00:00',
  links: [],
}));

export function extension(alias: string): Fields | undefined {
  return extensions.find((one) => one['alias'] === alias);
}
