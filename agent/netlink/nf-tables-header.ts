/**
 * Numbers of nfnetlink and nf_tables, under the names that the kernel's headers give them (linux/netfilter/nfnetlink.h,
 * linux/netfilter/nf_tables.h, linux/netfilter.h). Only what is written or read here.
 */

export const NETLINK_NETFILTER = 12;

export const NFNL_SUBSYS_NFTABLES = 10;
export const NFNL_MSG_BATCH_BEGIN = 16;
export const NFNL_MSG_BATCH_END = 17;
/** enum nfnl_batch_attributes */
export const NFNL_BATCH_GENID = 1;

/** struct nfgenmsg: family, version, resource id. */
export const NFGENMSG_LENGTH = 4;
export const NFPROTO_UNSPEC = 0;

/** enum nf_tables_msg_types */
export const NFT_MSG = {
  NFT_MSG_NEWTABLE: 0,
  NFT_MSG_GETTABLE: 1,
  NFT_MSG_DELTABLE: 2,
  NFT_MSG_NEWCHAIN: 3,
  NFT_MSG_GETCHAIN: 4,
  NFT_MSG_DELCHAIN: 5,
  NFT_MSG_NEWRULE: 6,
  NFT_MSG_GETRULE: 7,
  NFT_MSG_DELRULE: 8,
  NFT_MSG_NEWSET: 9,
  NFT_MSG_GETSET: 10,
  NFT_MSG_DELSET: 11,
  NFT_MSG_NEWSETELEM: 12,
  NFT_MSG_GETSETELEM: 13,
  NFT_MSG_DELSETELEM: 14,
  NFT_MSG_NEWGEN: 15,
  NFT_MSG_GETGEN: 16,
  NFT_MSG_GETOBJ: 19,
  NFT_MSG_GETFLOWTABLE: 23,
} as const;

/** NFTA_*_TABLE, which is the same in messages of tables, chains, rules, sets, elements, objects and flow tables. */
export const NFTA_ANY_TABLE = 1;
/** enum nft_list_attributes */
export const NFTA_LIST_ELEM = 1;

/** enum nft_table_attributes */
export const NFTA_TABLE = { NFTA_TABLE_NAME: 1, NFTA_TABLE_FLAGS: 2 } as const;
/** enum nft_table_flags */
export const NFT_TABLE_F_DORMANT = 1;
export const NFT_TABLE_F_OWNER = 2;

/** enum nft_hook_attributes */
export const NFTA_HOOK = { NFTA_HOOK_HOOKNUM: 1, NFTA_HOOK_PRIORITY: 2 } as const;

/** enum nft_chain_attributes */
export const NFTA_CHAIN = {
  NFTA_CHAIN_TABLE: 1,
  NFTA_CHAIN_HANDLE: 2,
  NFTA_CHAIN_NAME: 3,
  NFTA_CHAIN_HOOK: 4,
  NFTA_CHAIN_POLICY: 5,
  NFTA_CHAIN_USE: 6,
  NFTA_CHAIN_TYPE: 7,
  NFTA_CHAIN_FLAGS: 10,
  NFTA_CHAIN_USERDATA: 12,
} as const;
/** enum nft_chain_flags */
export const NFT_CHAIN_BASE = 1;

/** enum nft_rule_attributes */
export const NFTA_RULE = {
  NFTA_RULE_TABLE: 1,
  NFTA_RULE_CHAIN: 2,
  NFTA_RULE_HANDLE: 3,
  NFTA_RULE_EXPRESSIONS: 4,
  NFTA_RULE_POSITION: 6,
  NFTA_RULE_USERDATA: 7,
} as const;

/** enum nft_set_attributes */
export const NFTA_SET = {
  NFTA_SET_TABLE: 1,
  NFTA_SET_NAME: 2,
  NFTA_SET_FLAGS: 3,
  NFTA_SET_KEY_TYPE: 4,
  NFTA_SET_KEY_LEN: 5,
  NFTA_SET_DATA_TYPE: 6,
  NFTA_SET_DATA_LEN: 7,
  NFTA_SET_DESC: 9,
  NFTA_SET_ID: 10,
  NFTA_SET_TIMEOUT: 11,
  NFTA_SET_USERDATA: 13,
  NFTA_SET_PAD: 14,
  NFTA_SET_HANDLE: 16,
  NFTA_SET_TYPE: 19,
  NFTA_SET_COUNT: 20,
} as const;
/** enum nft_set_desc_attributes */
export const NFTA_SET_DESC = { NFTA_SET_DESC_SIZE: 1, NFTA_SET_DESC_CONCAT: 2 } as const;
/** enum nft_set_field_attributes */
export const NFTA_SET_FIELD_LEN = 1;
/** enum nft_set_flags */
export const NFT_SET = {
  NFT_SET_ANONYMOUS: 0x1,
  NFT_SET_CONSTANT: 0x2,
  NFT_SET_INTERVAL: 0x4,
  NFT_SET_MAP: 0x8,
  NFT_SET_TIMEOUT: 0x10,
  NFT_SET_EVAL: 0x20,
  NFT_SET_CONCAT: 0x80,
} as const;
/** In place of a type of data: a verdict. */
export const NFT_DATA_VERDICT = 0xffffff00;

/** enum nft_set_elem_list_attributes */
export const NFTA_SET_ELEM_LIST = {
  NFTA_SET_ELEM_LIST_TABLE: 1,
  NFTA_SET_ELEM_LIST_SET: 2,
  NFTA_SET_ELEM_LIST_ELEMENTS: 3,
  NFTA_SET_ELEM_LIST_SET_ID: 4,
} as const;
/** enum nft_set_elem_attributes */
export const NFTA_SET_ELEM = {
  NFTA_SET_ELEM_KEY: 1,
  NFTA_SET_ELEM_DATA: 2,
  NFTA_SET_ELEM_FLAGS: 3,
  NFTA_SET_ELEM_USERDATA: 6,
  NFTA_SET_ELEM_EXPR: 7,
  NFTA_SET_ELEM_KEY_END: 10,
} as const;
/** enum nft_set_elem_flags: no member, and the first value behind an interval. */
export const NFT_SET_ELEM_INTERVAL_END = 1;
/** enum nft_counter_attributes */
export const NFTA_COUNTER = { NFTA_COUNTER_BYTES: 1, NFTA_COUNTER_PACKETS: 2 } as const;

/** enum nft_data_attributes */
export const NFTA_DATA = { NFTA_DATA_VALUE: 1, NFTA_DATA_VERDICT: 2 } as const;
/** enum nft_verdict_attributes */
export const NFTA_VERDICT = { NFTA_VERDICT_CODE: 1, NFTA_VERDICT_CHAIN: 2 } as const;

/** enum nft_expr_attributes */
export const NFTA_EXPR = { NFTA_EXPR_NAME: 1, NFTA_EXPR_DATA: 2 } as const;
/** enum nft_meta_attributes */
export const NFTA_META = { NFTA_META_DREG: 1, NFTA_META_KEY: 2, NFTA_META_SREG: 3 } as const;
/** enum nft_meta_keys */
export const NFT_META = {
  NFT_META_PROTOCOL: 1,
  NFT_META_MARK: 3,
  NFT_META_IIF: 4,
  NFT_META_IIFNAME: 6,
  NFT_META_OIFNAME: 7,
  NFT_META_IIFTYPE: 8,
  NFT_META_NFPROTO: 15,
  NFT_META_L4PROTO: 16,
  NFT_META_BRI_IIFNAME: 17,
} as const;
/** enum nft_ct_attributes */
export const NFTA_CT = { NFTA_CT_DREG: 1, NFTA_CT_KEY: 2, NFTA_CT_SREG: 4 } as const;
/** enum nft_ct_keys */
export const NFT_CT = { NFT_CT_STATE: 0, NFT_CT_DIRECTION: 1, NFT_CT_MARK: 3, NFT_CT_ZONE: 17 } as const;
/** Bits of a connection tracking state: NF_CT_STATE_INVALID_BIT, and NF_CT_STATE_BIT of enum ip_conntrack_info. */
export const NF_CT_STATE = { invalid: 1, established: 2, related: 4, new: 8 } as const;
/** enum ip_conntrack_dir */
export const IP_CT_DIR = { original: 0, reply: 1 } as const;
/** enum nft_payload_attributes, and enum nft_payload_bases */
export const NFTA_PAYLOAD = {
  NFTA_PAYLOAD_DREG: 1,
  NFTA_PAYLOAD_BASE: 2,
  NFTA_PAYLOAD_OFFSET: 3,
  NFTA_PAYLOAD_LEN: 4,
} as const;
export const NFT_PAYLOAD = {
  NFT_PAYLOAD_LL_HEADER: 0,
  NFT_PAYLOAD_NETWORK_HEADER: 1,
  NFT_PAYLOAD_TRANSPORT_HEADER: 2,
} as const;
/** enum nft_bitwise_attributes */
export const NFTA_BITWISE = {
  NFTA_BITWISE_SREG: 1,
  NFTA_BITWISE_DREG: 2,
  NFTA_BITWISE_LEN: 3,
  NFTA_BITWISE_MASK: 4,
  NFTA_BITWISE_XOR: 5,
  NFTA_BITWISE_OP: 6,
} as const;
/** enum nft_bitwise_ops */
export const NFT_BITWISE_MASK_XOR = 0;
/** enum nft_byteorder_attributes, and enum nft_byteorder_ops */
export const NFTA_BYTEORDER = {
  NFTA_BYTEORDER_SREG: 1,
  NFTA_BYTEORDER_DREG: 2,
  NFTA_BYTEORDER_OP: 3,
  NFTA_BYTEORDER_LEN: 4,
  NFTA_BYTEORDER_SIZE: 5,
} as const;
export const NFT_BYTEORDER_HTON = 1;
/** enum nft_cmp_attributes, and enum nft_cmp_ops */
export const NFTA_CMP = { NFTA_CMP_SREG: 1, NFTA_CMP_OP: 2, NFTA_CMP_DATA: 3 } as const;
export const NFT_CMP = { NFT_CMP_EQ: 0, NFT_CMP_NEQ: 1, NFT_CMP_LTE: 3, NFT_CMP_GTE: 5 } as const;
/** enum nft_lookup_attributes, and enum nft_lookup_flags */
export const NFTA_LOOKUP = {
  NFTA_LOOKUP_SET: 1,
  NFTA_LOOKUP_SREG: 2,
  NFTA_LOOKUP_DREG: 3,
  NFTA_LOOKUP_SET_ID: 4,
  NFTA_LOOKUP_FLAGS: 5,
} as const;
export const NFT_LOOKUP_F_INV = 1;
/** enum nft_dynset_attributes, and enum nft_dynset_ops */
export const NFTA_DYNSET = {
  NFTA_DYNSET_SET_NAME: 1,
  NFTA_DYNSET_OP: 3,
  NFTA_DYNSET_SREG_KEY: 4,
  NFTA_DYNSET_TIMEOUT: 6,
  NFTA_DYNSET_EXPR: 7,
  NFTA_DYNSET_PAD: 8,
  NFTA_DYNSET_FLAGS: 9,
} as const;
export const NFT_DYNSET_OP_UPDATE = 1;
/** enum nft_immediate_attributes */
export const NFTA_IMMEDIATE = { NFTA_IMMEDIATE_DREG: 1, NFTA_IMMEDIATE_DATA: 2 } as const;

/** enum nft_registers */
export const NFT_REG_VERDICT = 0;
export const NFT_REG_1 = 1;
/** Registers of 4 bytes, four to each of the others (NFT_REG32_00). */
export const NFT_REG32_00 = 8;

/** Verdicts of linux/netfilter.h, and those of enum nft_verdicts. */
export const VERDICT = { NF_DROP: 0, NF_ACCEPT: 1, NFT_JUMP: -3, NFT_GOTO: -4, NFT_RETURN: -5 } as const;

/** ARPHRD_ETHER of linux/if_arp.h, and ETH_P_8021Q of linux/if_ether.h. */
export const ARPHRD_ETHER = 1;
export const ETH_P_8021Q = 0x8100;

/** User data, which the kernel keeps and nft(8) reads: libnftnl/udata.h and nft's datatype.h. */
export const NFTNL_UDATA_COMMENT = 0;
/** enum nftnl_udata_set_types, and enum nftnl_udata_set_typeof_types. */
export const NFTNL_UDATA_SET = {
  NFTNL_UDATA_SET_KEYBYTEORDER: 0,
  NFTNL_UDATA_SET_DATABYTEORDER: 1,
  NFTNL_UDATA_SET_KEY_TYPEOF: 3,
  NFTNL_UDATA_SET_DATA_TYPEOF: 4,
} as const;
export const NFTNL_UDATA_SET_TYPEOF = { NFTNL_UDATA_SET_TYPEOF_EXPR: 0, NFTNL_UDATA_SET_TYPEOF_DATA: 1 } as const;
/** Of the payload expression of a key, in nft's payload.c. */
export const NFTNL_UDATA_SET_KEY_PAYLOAD_LEN = 4;
/** enum nftnl_udata_set_elem_types, and enum nftnl_udata_set_elem_flags. */
export const NFTNL_UDATA_SET_ELEM_FLAGS = 1;
export const NFTNL_SET_ELEM_F_INTERVAL_OPEN = 1;
/** enum byteorder of nft(8) */
export const BYTEORDER = { BYTEORDER_INVALID: 0, BYTEORDER_HOST_ENDIAN: 1, BYTEORDER_BIG_ENDIAN: 2 } as const;
/** enum datatypes of nft(8): what a set's keys are to its reader; those of a concatenation take TYPE_BITS each. */
export const TYPE = {
  TYPE_INTEGER: 4,
  TYPE_IPADDR: 7,
  TYPE_IP6ADDR: 8,
  TYPE_ETHERADDR: 9,
  TYPE_ETHERTYPE: 10,
  TYPE_ARPOP: 11,
  TYPE_INET_PROTOCOL: 12,
  TYPE_INET_SERVICE: 13,
  TYPE_ICMP_TYPE: 14,
  TYPE_IFINDEX: 20,
  TYPE_ICMP6_TYPE: 29,
  TYPE_ICMP_CODE: 32,
  TYPE_ICMPV6_CODE: 33,
  TYPE_IFNAME: 41,
} as const;
export const TYPE_BITS = 6;
/** enum expr_types of nft(8) */
export const EXPR = { EXPR_PAYLOAD: 7, EXPR_META: 9, EXPR_CT: 12, EXPR_CONCAT: 13 } as const;
/** enum proto_desc_id of nft(8), and the place of a field in its description. */
export const PROTO_DESC = { UNKNOWN: 0, IP: 12, IP6: 13, VLAN: 16 } as const;
/** IFNAMSIZ */
export const IFNAMSIZ = 16;

/** NFPROTO_* of linux/netfilter.h, by the names that nft(8) gives them. */
export const NFPROTO = { inet: 1, arp: 3, bridge: 7 } as const;
export const NFPROTO_IPV4 = 2;
export const NFPROTO_IPV6 = 10;
/** Hooks are numbered by family: enum nf_inet_hooks, NF_ARP_*, NF_BR_*. */
export const HOOKNUM = {
  inet: { prerouting: 0, input: 1, forward: 2, output: 3, postrouting: 4 },
  bridge: { prerouting: 0, input: 1, forward: 2, output: 3, postrouting: 4 },
  arp: { prerouting: undefined, input: 0, forward: 2, output: 1, postrouting: undefined },
} as const;
