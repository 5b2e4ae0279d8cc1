/** What was recorded of the stock client against a real Neutron 21.0 (Debian's python3-openstackclient 6.0): lines and exit codes. */

export interface Command {
  readonly line: string;
  /** 0 if absent. */
  readonly exit?: number;
  /** What the id that it prints is called in later lines. */
  readonly keep?: string;
  /** Somewhere in what it prints. */
  readonly says?: string;
  /** The head of the table. */
  readonly columns?: readonly string[];
  /** Among the fields of the table. */
  readonly fields?: readonly string[];
  readonly isAdmin?: boolean;
}

export const NO_AUTH_COMMANDS: readonly Command[] = [
  { line: 'openstack network create net' },
  { line: 'openstack subnet create --network net --subnet-range 10.9.0.0/24 sub4' },
  {
    line: 'openstack subnet create --network net --ip-version 6 --ipv6-ra-mode slaac --ipv6-address-mode slaac --subnet-range 2001:db8:9::/64 sub6',
  },
  { line: 'openstack security group create --description "web servers" web' },
  { line: 'openstack security group create database' },
  { line: 'openstack security group create --stateless --tag blue fast' },
  {
    line: 'openstack security group rule create --protocol tcp --dst-port 80:80 --remote-ip 0.0.0.0/0 web -f json',
    keep: 'RULE',
  },
  {
    line: 'openstack security group rule create --protocol tcp --dst-port 3306 --remote-group web database -f json',
    keep: 'DBRULE',
  },
  { line: 'openstack security group rule create --ethertype IPv6 --protocol tcp --dst-port 443 --remote-ip ::/0 web' },
  { line: 'openstack security group rule create --protocol icmp --icmp-type 8 --icmp-code 0 web' },
  { line: 'openstack security group rule create --ethertype IPv6 --protocol ipv6-icmp --icmp-type 128 web' },
  {
    line: 'openstack security group rule create --egress --protocol udp --dst-port 53 --remote-ip 192.0.2.53/32 --description dns web',
  },
  { line: 'openstack security group rule create --protocol 132 --dst-port 9000:9100 web' },
  { line: 'openstack security group rule create --protocol any web' },
  { line: 'openstack security group rule create --ingress --ethertype IPv4 web --protocol vrrp' },
  {
    line: 'openstack security group rule create --protocol tcp --dst-port 80:80 --remote-ip 0.0.0.0/0 web',
    exit: 1,
    says: 'already exists',
  },
  { line: 'openstack security group rule create --protocol tcp --dst-port 80:70 web', exit: 2 },
  {
    line: 'openstack security group rule create --protocol tcp --dst-port 22 --remote-ip 2001:db8::/32 --ethertype IPv4 web',
    exit: 1,
    says: 'Conflicting value ethertype IPv4 for CIDR 2001:db8::/32',
  },
  {
    line: 'openstack address group create --description "office nets" --address 192.0.2.0/28 --address 198.51.100.7 office',
  },
  { line: 'openstack address group set --address 203.0.113.0/24 --description "all offices" office' },
  { line: 'openstack address group unset --address 198.51.100.7 office' },
  { line: 'openstack address group list', columns: ['ID', 'Name', 'Description', 'Project', 'Addresses'] },
  { line: 'openstack address group show office' },
  { line: 'openstack security group rule create --protocol tcp --dst-port 22 --remote-address-group office web' },
  { line: 'openstack security group list', columns: ['ID', 'Name', 'Description', 'Project', 'Tags'] },
  { line: 'openstack security group list --tags blue' },
  {
    line: 'openstack security group show web',
    fields: [
      'created_at',
      'description',
      'id',
      'name',
      'project_id',
      'revision_number',
      'rules',
      'stateful',
      'tags',
      'updated_at',
    ],
  },
  { line: 'openstack security group rule list' },
  { line: 'openstack security group rule list web' },
  { line: 'openstack security group rule list --protocol tcp --ingress --long web' },
  { line: 'openstack security group rule show $RULE' },
  { line: 'openstack security group set --name web-tier --description "the web tier" web' },
  { line: 'openstack security group set --name web web-tier' },
  { line: 'openstack security group set --stateless web' },
  { line: 'openstack security group set --stateful web' },
  { line: 'openstack security group set --tag red database' },
  { line: 'openstack security group unset --tag red database' },
  { line: 'openstack port create --network net --no-security-group p' },
  { line: 'openstack port create --network net --security-group web --security-group database g' },
  {
    line: 'openstack port create --network net --fixed-ip subnet=sub4,ip-address=10.9.0.77 --allowed-address ip-address=10.9.0.200 --host h1 --device d1 --device-owner compute:nova a',
  },
  { line: 'openstack port create --network net d' },
  {
    line: 'openstack port show g',
    fields: [
      'admin_state_up',
      'allowed_address_pairs',
      'binding_host_id',
      'fixed_ips',
      'id',
      'mac_address',
      'port_security_enabled',
      'security_group_ids',
      'status',
    ],
  },
  { line: 'openstack port set --security-group database p' },
  { line: 'openstack port set --security-group web p' },
  { line: 'openstack port unset --security-group database p' },
  { line: 'openstack port set --no-security-group --security-group database p' },
  { line: 'openstack port set --no-security-group p' },
  { line: 'openstack port set --allowed-address ip-address=10.9.0.201,mac-address=fa:16:3e:00:00:01 p' },
  { line: 'openstack port set --allowed-address ip-address=10.9.1.0/24 p' },
  { line: 'openstack port unset --allowed-address ip-address=10.9.0.201,mac-address=fa:16:3e:00:00:01 p' },
  { line: 'openstack port set --disable-port-security p', exit: 1 },
  { line: 'openstack port set --no-allowed-address p' },
  { line: 'openstack port set --disable-port-security p' },
  {
    line: 'openstack port set --security-group web p',
    exit: 1,
    says: 'Port security must be enabled and port must have an IP address',
  },
  { line: 'openstack port set --enable-port-security p' },
  { line: 'openstack port list', columns: ['ID', 'Name', 'MAC Address', 'Fixed IP Addresses', 'Status'] },
  { line: 'openstack port list --network net --long' },
  { line: 'openstack port list --security-group web', exit: 1, says: 'Invalid query params: security_groups' },
  { line: 'openstack network set --disable-port-security net' },
  { line: 'openstack network set --enable-port-security net' },
  { line: 'openstack security group delete web', exit: 1, says: 'in use.' },
  { line: 'openstack port set --no-security-group g' },
  { line: 'openstack security group rule delete $DBRULE' },
  { line: 'openstack security group rule delete $DBRULE', exit: 1, says: 'No SecurityGroupRule found' },
  { line: 'openstack security group delete database' },
  { line: 'openstack security group delete nosuch', exit: 1, says: 'No SecurityGroup found for nosuch' },
  { line: 'openstack security group create default', exit: 1, says: 'Default security group already exists' },
  { line: 'openstack network rbac list' },
  { line: 'openstack extension list --network' },
  { line: 'openstack port delete p' },
];

export const PASSWORD_COMMANDS: readonly Command[] = [
  { line: 'openstack network create net' },
  { line: 'openstack subnet create --network net --subnet-range 10.9.0.0/24 sub4' },
  {
    line: 'openstack subnet create --network net --ip-version 6 --ipv6-ra-mode slaac --ipv6-address-mode slaac --subnet-range 2001:db8:9::/64 sub6',
  },
  { line: 'openstack security group create --description "web servers" web' },
  { line: 'openstack security group create database' },
  { line: 'openstack security group create --stateless --tag blue fast' },
  { line: 'openstack port create --network net --security-group web --security-group database g' },
  { line: 'openstack port create --network net d' },
  {
    line: 'openstack network rbac create --target-project other --action access_as_shared --type security_group web',
    isAdmin: true,
  },
  { line: 'openstack network rbac list' },
  { line: 'openstack quota show demo' },
  { line: 'openstack quota set --secgroups 25 --secgroup-rules 200 demo', isAdmin: true },
  { line: 'openstack server create --image cirros --flavor m1.tiny --port g --security-group web vm1' },
  {
    line: 'openstack server create --image cirros --flavor m1.tiny --network net --security-group web --security-group fast vm2',
  },
  { line: 'openstack server add security group vm2 web' },
  { line: 'openstack server remove security group vm2 fast' },
  { line: 'openstack server show -f value -c security_groups vm2' },
];
