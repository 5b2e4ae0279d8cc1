/** Base chains of everybody in nf_tables: who judges packets at which hook, in which order. Asked without nft(8). */
import { dumpAlone } from './dump.js';
import { eachAttribute, textOf } from './message.js';
import { FAMILIES } from './nf-tables.js';
import { NFGENMSG_LENGTH, NFPROTO_UNSPEC, NFT_MSG, NFTA_CHAIN, NFTA_HOOK, VERDICT } from './nf-tables-header.js';

export interface BaseChain {
  /** As nft(8) names it: inet, ip, ip6, arp, bridge, netdev. */
  readonly family: string;
  readonly table: string;
  readonly chain: string;
  readonly hook: string;
  /** Netfilter priority; lower runs first. */
  readonly priority: number;
  /** filter, nat or route. */
  readonly type: string;
  readonly policy: 'accept' | 'drop';
}

/** Hooks are numbered by family: enum nf_inet_hooks and NF_BR_*, NF_ARP_*, nf_dev_hooks. */
const INET_HOOKS = ['prerouting', 'input', 'forward', 'output', 'postrouting', 'ingress'];
const HOOKS: Readonly<Record<string, readonly string[]>> = {
  arp: ['input', 'output', 'forward'],
  netdev: ['ingress', 'egress'],
};

/** Rejects with NetlinkError (EPERM without CAP_NET_ADMIN). */
export async function listBaseChains(): Promise<readonly BaseChain[]> {
  const chains = await dumpAlone(NFT_MSG.NFT_MSG_GETCHAIN, NFPROTO_UNSPEC, [], readBaseChain);
  return chains.filter((chain) => chain !== undefined);
}

/** Undefined for a chain that packets get to by a jump alone. */
function readBaseChain(payload: Buffer): BaseChain | undefined {
  const family = FAMILIES.get(payload[0] ?? 0) ?? 'unknown';
  const read = { table: '', chain: '', type: '', policy: 'accept' as BaseChain['policy'] };
  let hook: { number: number; priority: number } | undefined;
  eachAttribute(payload, NFGENMSG_LENGTH, (type, value) => {
    if (type === NFTA_CHAIN.NFTA_CHAIN_TABLE) read.table = textOf(value);
    else if (type === NFTA_CHAIN.NFTA_CHAIN_NAME) read.chain = textOf(value);
    else if (type === NFTA_CHAIN.NFTA_CHAIN_TYPE) read.type = textOf(value);
    else if (type === NFTA_CHAIN.NFTA_CHAIN_HOOK) hook = readHook(value);
    else if (type === NFTA_CHAIN.NFTA_CHAIN_POLICY && value.readUInt32BE(0) === VERDICT.NF_DROP) read.policy = 'drop';
  });
  if (hook === undefined) return undefined;
  const names = HOOKS[family] ?? INET_HOOKS;
  return { ...read, family, hook: names[hook.number] ?? `hook ${hook.number.toString()}`, priority: hook.priority };
}

function readHook(value: Buffer): { number: number; priority: number } {
  const read = { number: 0, priority: 0 };
  eachAttribute(value, 0, (type, inner) => {
    if (type === NFTA_HOOK.NFTA_HOOK_HOOKNUM) read.number = inner.readUInt32BE(0);
    else if (type === NFTA_HOOK.NFTA_HOOK_PRIORITY) read.priority = inner.readInt32BE(0);
  });
  return read;
}
