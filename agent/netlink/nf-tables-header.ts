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
  NFT_MSG_NEWSETELEM: 12,
  NFT_MSG_GETSETELEM: 13,
  NFT_MSG_DELSETELEM: 14,
  NFT_MSG_NEWGEN: 15,
  NFT_MSG_GETGEN: 16,
} as const;

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
  NFTA_CHAIN_NAME: 3,
  NFTA_CHAIN_HOOK: 4,
  NFTA_CHAIN_POLICY: 5,
  NFTA_CHAIN_TYPE: 7,
  NFTA_CHAIN_USERDATA: 12,
} as const;

/** enum nft_rule_attributes */
export const NFTA_RULE = {
  NFTA_RULE_TABLE: 1,
  NFTA_RULE_CHAIN: 2,
  NFTA_RULE_HANDLE: 3,
  NFTA_RULE_EXPRESSIONS: 4,
  NFTA_RULE_USERDATA: 7,
} as const;

/** enum nft_set_attributes */
export const NFTA_SET = {
  NFTA_SET_TABLE: 1,
  NFTA_SET_NAME: 2,
  NFTA_SET_FLAGS: 3,
  NFTA_SET_KEY_TYPE: 4,
  NFTA_SET_KEY_LEN: 5,
  NFTA_SET_DESC: 9,
  NFTA_SET_ID: 10,
  NFTA_SET_TIMEOUT: 11,
  NFTA_SET_USERDATA: 13,
} as const;
/** enum nft_set_desc_attributes */
export const NFTA_SET_DESC_SIZE = 1;
/** enum nft_set_flags */
export const NFT_SET = { NFT_SET_ANONYMOUS: 0x1, NFT_SET_TIMEOUT: 0x10, NFT_SET_EVAL: 0x20 } as const;

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
  NFTA_SET_ELEM_FLAGS: 3,
  NFTA_SET_ELEM_EXPR: 7,
  NFTA_SET_ELEM_KEY_END: 10,
} as const;
/** enum nft_counter_attributes */
export const NFTA_COUNTER = { NFTA_COUNTER_BYTES: 1, NFTA_COUNTER_PACKETS: 2 } as const;

/** enum nft_data_attributes */
export const NFTA_DATA = { NFTA_DATA_VALUE: 1, NFTA_DATA_VERDICT: 2 } as const;
/** enum nft_verdict_attributes */
export const NFTA_VERDICT_CODE = 1;

/** enum nft_expr_attributes */
export const NFTA_EXPR = { NFTA_EXPR_NAME: 1, NFTA_EXPR_DATA: 2 } as const;
/** enum nft_meta_attributes */
export const NFTA_META = { NFTA_META_DREG: 1, NFTA_META_KEY: 2 } as const;
/** enum nft_meta_keys */
export const NFT_META = { NFT_META_IIFNAME: 6, NFT_META_OIFNAME: 7 } as const;
/** enum nft_cmp_attributes, and enum nft_cmp_ops */
export const NFTA_CMP = { NFTA_CMP_SREG: 1, NFTA_CMP_OP: 2, NFTA_CMP_DATA: 3 } as const;
export const NFT_CMP_EQ = 0;
/** enum nft_lookup_attributes */
export const NFTA_LOOKUP = { NFTA_LOOKUP_SET: 1, NFTA_LOOKUP_SREG: 2, NFTA_LOOKUP_SET_ID: 4 } as const;
/** enum nft_dynset_attributes, and enum nft_dynset_ops */
export const NFTA_DYNSET = {
  NFTA_DYNSET_SET_NAME: 1,
  NFTA_DYNSET_SET_ID: 2,
  NFTA_DYNSET_OP: 3,
  NFTA_DYNSET_SREG_KEY: 4,
  NFTA_DYNSET_EXPR: 7,
} as const;
export const NFT_DYNSET_OP_UPDATE = 1;
/** enum nft_immediate_attributes */
export const NFTA_IMMEDIATE = { NFTA_IMMEDIATE_DREG: 1, NFTA_IMMEDIATE_DATA: 2 } as const;

/** enum nft_registers */
export const NFT_REG_VERDICT = 0;
export const NFT_REG_1 = 1;

/** Verdicts of linux/netfilter.h, and NFT_RETURN of enum nft_verdicts. */
export const VERDICT = { NF_DROP: 0, NF_ACCEPT: 1, NFT_RETURN: -5 } as const;

/** User data, which the kernel keeps and nft(8) reads: libnftnl/udata.h and nft's datatype.h. */
export const NFTNL_UDATA_COMMENT = 0;
export const NFTNL_UDATA_SET_KEYBYTEORDER = 0;
export const BYTEORDER_HOST_ENDIAN = 1;
/** enum datatypes of nft(8): what a set's keys are to its reader. */
export const TYPE_IFNAME = 41;
/** IFNAMSIZ */
export const IFNAMSIZ = 16;

/** NFPROTO_* of linux/netfilter.h, by the names that nft(8) gives them. */
export const NFPROTO = { inet: 1, arp: 3, bridge: 7 } as const;
/** Hooks are numbered by family: enum nf_inet_hooks, NF_ARP_*, NF_BR_*. */
export const HOOKNUM = {
  inet: { prerouting: 0, input: 1, forward: 2, output: 3, postrouting: 4 },
  bridge: { prerouting: 0, input: 1, forward: 2, output: 3, postrouting: 4 },
  arp: { prerouting: undefined, input: 0, forward: 2, output: 1, postrouting: undefined },
} as const;
