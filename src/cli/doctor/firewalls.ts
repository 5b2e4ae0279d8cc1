/** Other firewalls at the hooks that guests' packets pass: which of their chains come before ours, and which drop what we admit. */
import { foreignRulesInIptables, type BaseChain, type IptablesListing } from '../../../agent/index.js';
import { IPTABLES_HOOKS, isBridged, TABLE_NAME, type CompileOptions, type Table } from '../../../compiler/index.js';
import { named, ok, unknown, warning, type Finding } from './finding.js';

export interface FirewallFacts {
  /** Of everybody. */
  readonly chains: readonly BaseChain[];
  /** What we load. */
  readonly ours: readonly Table[];
  /** What nft lists of chains of others that drop by policy, by {@link chainKey}. */
  readonly dropping: ReadonlyMap<string, string>;
  /** What iptables-legacy holds; none where it was not asked. */
  readonly legacy: readonly IptablesListing[];
  /** What could not be listed. */
  readonly untold: readonly string[];
}

/** Family, table and chain. */
export function chainKey({ family, table, chain }: BaseChain): string {
  return `${family} ${table} ${chain}`;
}

/** Chains of others that drop guests' packets unless a rule of theirs accepts them. */
export function droppingChains(chains: readonly BaseChain[], options: CompileOptions): readonly BaseChain[] {
  return foreignOf(chains, options).filter(({ policy }) => policy === 'drop');
}

/** Packets for the host itself and from it are its own business. */
const OF_GUESTS = new Set(['ingress', 'prerouting', 'forward', 'postrouting', 'egress']);
/** Table families that see packets of IP. */
const OF_IP = ['inet', 'ip', 'ip6'];

export function judgeFirewalls(facts: FirewallFacts, options: CompileOptions): readonly Finding[] {
  const { chains, ours, dropping } = facts;
  const foreign = foreignOf(chains, options);
  const findings = [
    ...foreign.flatMap((chain) =>
      judgeChain(chain, positionOf(chain, ours), dropping.get(chainKey(chain)) ?? '', options),
    ),
    ...judgeLegacy(facts, options),
  ];
  if (findings.length > 0) return findings;
  if (foreign.length === 0) return [ok('no chain of others is at the hooks that guests’ packets pass')];
  const names = foreign.map((chain) => `${nameOf(chain)} ${positionOf(chain, ours)}`);
  return [ok(`chains of others, none of which drops guests’ packets by policy: ${named(names)}`)];
}

function foreignOf(chains: readonly BaseChain[], options: CompileOptions): readonly BaseChain[] {
  return chains.filter(
    ({ table, hook, family }) => table !== TABLE_NAME && OF_GUESTS.has(hook) && seesGuests(family, options),
  );
}

/** The host may route for guests on bridges, too. */
function seesGuests(family: string, { datapath }: CompileOptions): boolean {
  return OF_IP.includes(family) || family === 'netdev' || (family === 'bridge' && isBridged(datapath));
}

type Position = 'before ours' | 'behind ours' | 'between ours';

/** A packet of a guest is judged in prerouting by whom it comes from, and in postrouting by whom it is for. */
function positionOf({ family, hook, priority }: BaseChain, tables: readonly Table[]): Position {
  switch (hook) {
    case 'ingress':
      return 'before ours';
    case 'egress':
      return 'behind ours';
    case 'prerouting':
      return priority < Math.max(...prioritiesAt('prerouting', family, tables)) ? 'before ours' : 'between ours';
    case 'postrouting':
      return priority > Math.min(...prioritiesAt('postrouting', family, tables)) ? 'behind ours' : 'between ours';
    default:
      return 'between ours';
  }
}

/** Of our chains that see the same packets. */
function prioritiesAt(hook: string, family: string, tables: readonly Table[]): readonly number[] {
  const isSame = (other: string): boolean =>
    other === family || (OF_IP.includes(other) && (OF_IP.includes(family) || family === 'netdev'));
  return tables
    .filter((table) => isSame(table.family))
    .flatMap(({ chains }) => [...chains.values()])
    .flatMap((chain) => (chain.hook?.hook === hook ? [chain.hook.priority] : []));
}

/** @param listing of a chain that drops by policy. */
function judgeChain(
  chain: BaseChain,
  position: Position,
  listing: string,
  { devicePrefixes, datapath }: CompileOptions,
): readonly Finding[] {
  const findings: Finding[] = [];
  const lacking = devicePrefixes.flatMap((prefix) =>
    endsOf(chain)
      .filter((end) => !acceptsAll(listing, end, prefix))
      .map((end) => `nft insert rule ${chainKey(chain)} ${end} '"${prefix}*"' accept`),
  );
  if (chain.policy === 'drop' && lacking.length > 0) {
    findings.push(
      warning(
        `${nameOf(chain)}, ${position}, has the policy drop: what we admit and no rule of it accepts ends there`,
        isBridged(datapath) && chain.family !== 'bridge'
          ? 'accept there what bridges forward (iptables -I FORWARD -m physdev --physdev-is-bridged -j ACCEPT)'
          : lacking.join('; '),
      ),
    );
  }
  if (chain.type === 'nat' && position === 'before ours' && chain.hook === 'prerouting') {
    findings.push(
      warning(
        `${nameOf(chain)} translates destinations before ours: egress rules do not see what the guest wrote`,
        natMend,
      ),
    );
  }
  if (chain.type === 'nat' && position === 'between ours' && chain.hook === 'postrouting') {
    findings.push(
      warning(`${nameOf(chain)} translates sources before ours: ingress rules do not see the sender`, natMend),
    );
  }
  return findings;
}

const natMend = 'give that chain nft’s own priority (dstnat, srcnat)';

/** By which device a packet of a guest is known at a hook. */
function endsOf({ hook }: BaseChain): readonly string[] {
  switch (hook) {
    case 'ingress':
    case 'prerouting':
      return ['iifname'];
    case 'egress':
    case 'postrouting':
      return ['oifname'];
    default:
      return ['iifname', 'oifname'];
  }
}

/** A rule that accepts whatever comes from, or goes to, devices of the prefix. */
function acceptsAll(listing: string, end: string, prefix: string): boolean {
  return listing
    .split('\n')
    .map((line) => line.trim().replace(/ counter( packets \d+ bytes \d+)?/, ''))
    .includes(`${end} "${prefix}*" accept`);
}

function nameOf({ family, table, chain, hook, priority }: BaseChain): string {
  return `table ${family} ${table}, chain ${chain} (${hook} ${priority.toString()})`;
}

/** Each judges every packet by itself, and neither lists what the other holds. */
function judgeLegacy(
  { chains, legacy, untold }: FirewallFacts,
  { devicePrefixes }: CompileOptions,
): readonly Finding[] {
  const dropping = legacy.flatMap(({ program, rules }) =>
    policiesOf(rules)
      .filter(({ chain, policy }) => policy === 'DROP' && chain === 'FORWARD')
      .flatMap(({ table, chain }) => {
        const lacking = devicePrefixes
          .flatMap((prefix) => ['-i', '-o'].map((end) => `${chain} ${end} ${prefix}+ -j ACCEPT`))
          .filter((rule) => !rules.split('\n').includes(`-A ${rule}`));
        if (lacking.length === 0) return [];
        return [
          warning(
            `${program}, table ${table}, chain ${chain} has the policy DROP: what we admit and no rule of it accepts ends there`,
            lacking.map((rule) => `${program} -t ${table} -I ${rule}`).join('; '),
          ),
        ];
      }),
  );
  const withRules = legacy
    .filter((listing) => foreignRulesInIptables(listing).length > 0)
    .map(({ program }) => program);
  const ofNft = chains.filter(({ chain }) => IPTABLES_HOOKS.has(chain));
  const beside =
    withRules.length > 0 && ofNft.length > 0
      ? [
          warning(
            `${named(withRules)} holds rules beside those of iptables-nft: a packet must pass both, and neither lists the other’s`,
            'put all of them into one (update-alternatives --config iptables)',
          ),
        ]
      : [];
  const notListed = untold.length === 0 ? [] : [unknown(`cannot be listed: ${named(untold)}`)];
  return [...dropping, ...beside, ...notListed];
}

function policiesOf(
  saved: string,
): readonly { readonly table: string; readonly chain: string; readonly policy: string }[] {
  let table = '';
  return saved.split('\n').flatMap((line) => {
    if (line.startsWith('*')) table = line.slice(1);
    const [, chain, policy] = /^:(\S+) (ACCEPT|DROP) /.exec(line) ?? [];
    return chain === undefined || policy === undefined ? [] : [{ table, chain, policy }];
  });
}
