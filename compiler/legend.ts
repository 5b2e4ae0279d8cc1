/** What the counters of a host's rules are of: rules of security groups by what is loaded of them, ports by device and address. */
import type { Port } from './model/index.js';
import { ruleInWords } from './explain/index.js';
import type { HostCompiler } from './incremental/host-compiler.js';
import { ruleComment } from './nftables/comment.js';
import { ruleText } from './nftables/text.js';

/** A rule of a group's chain, and the security group rules that it stands for. */
export interface LegendRule {
  readonly chain: string;
  /** The first word of the loaded rule's comment. */
  readonly digest: string;
  readonly group: { readonly id: string; readonly name: string };
  readonly rules: readonly { readonly id: string; readonly text: string }[];
}

export interface LegendPort {
  readonly id: string;
  readonly name: string;
  readonly device: string;
  readonly addresses: readonly string[];
}

export interface Legend {
  readonly rules: readonly LegendRule[];
  readonly ports: readonly LegendPort[];
}

export function legendOf(compiler: HostCompiler, ports: Iterable<Port>): Legend {
  const { topology } = compiler;
  const rules = [...compiler.groupChains()].flatMap(({ group, chain }) => {
    const words = new Map(group.rules.map((rule) => [rule.id, ruleInWords(topology, rule)]));
    return chain.rules.map((rule) => ({
      chain: chain.name,
      digest: digestOf(ruleComment(ruleText(rule), rule.comment)),
      group: { id: group.id, name: group.name },
      rules: (rule.origin?.rules ?? []).map((id) => ({ id, text: words.get(id) ?? '' })),
    }));
  });
  return {
    rules,
    ports: [...ports].map(({ id, name, device, fixedIps }) => ({
      id,
      name,
      device,
      addresses: fixedIps.map(({ text }) => text),
    })),
  };
}

function digestOf(comment: string): string {
  return comment.slice(0, comment.indexOf(' '));
}
