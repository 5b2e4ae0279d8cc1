/** What a change costs iptables, and the tables beside: nothing is made again for which nothing changed. */
import { expect, it } from 'vitest';
import { IptablesBackend } from '../../../agent/backends/iptables.js';
import { KERNEL } from '../../../agent/kernel/driver.js';
import { DEFAULT_OPTIONS, HostCompiler, type IptablesPlan, type Transaction } from '../../../compiler/index.js';
import { diffTopologies, EMPTY_TOPOLOGY, parseTopology, type Topology } from '../../../compiler/model/index.js';
import { groupFields, portFields, type Fields } from '../../support/world.js';

const RULE = { direction: 'ingress', ethertype: 'IPv4', protocol: 'tcp', port_range_min: 22, port_range_max: 22 };

function topologyOf(addresses: readonly string[], rules: readonly Fields[]): Topology {
  const { topology, problems } = parseTopology([
    {
      file: 'topology',
      content: {
        security_groups: [groupFields('web', rules)],
        ports: addresses.map((address, index) =>
          portFields(index + 1, ['web'], { fixed_ips: [{ ip_address: address }], 'binding:host_id': 'host-1' }),
        ),
      },
    },
  ]);
  expect(problems).toEqual([]);
  return topology;
}

class Host {
  readonly #compiler = new HostCompiler(() => true, DEFAULT_OPTIONS);
  #topology = EMPTY_TOPOLOGY;
  readonly #rules: string[] = [];
  readonly #tables: Transaction[] = [];
  readonly #backend = new IptablesBackend(this.#compiler, DEFAULT_OPTIONS, {
    kernel: {
      ...KERNEL,
      mostOfPiece: async () => Promise.resolve(1_000_000),
      iptables: {
        ...KERNEL.iptables,
        carryOut: async ({ steps }: Pick<IptablesPlan, 'steps'>) => {
          this.#rules.push(...steps.map(({ kind }) => kind));
          return Promise.resolve();
        },
      },
    },
    onWritten: () => undefined,
    applyAhead: async () => Promise.resolve(),
    applyStage: async ({ transaction }) => {
      this.#tables.push(transaction);
      return Promise.resolve();
    },
    commitRules: async () => Promise.resolve(),
    isLocal: () => true,
  });

  /** @returns kinds of steps of iptables and ipset, and families of the tables beside that were changed. */
  async change(topology: Topology): Promise<readonly [readonly string[], readonly string[]]> {
    this.#compiler.update(diffTopologies(this.#topology, topology));
    this.#topology = topology;
    const { transaction, touched } = this.#compiler.take();
    await this.#backend.change(transaction, touched).apply();
    const tables = this.#tables
      .splice(0)
      .flatMap((changes) =>
        changes.map((change) =>
          change.kind === 'update'
            ? change.family
            : change.kind === 'delete'
              ? change.before.family
              : change.table.family,
        ),
      );
    return [this.#rules.splice(0), tables];
  }
}

it('a rule is rules alone, an address and a port are ARP, too, and what is as it was is nothing', async () => {
  const host = new Host();
  expect((await host.change(topologyOf(['10.0.0.1', '10.0.0.2'], [])))[1]).toEqual(['inet', 'arp', 'bridge']);
  expect(await host.change(topologyOf(['10.0.0.1', '10.0.0.2'], [RULE]))).toEqual([['rules'], []]);
  expect(await host.change(topologyOf(['10.0.0.1', '10.0.0.3'], [RULE]))).toEqual([['sets', 'rules', 'sets'], ['arp']]);
  expect((await host.change(topologyOf(['10.0.0.1', '10.0.0.3', '10.0.0.4'], [RULE])))[1]).toEqual(['arp']);
  expect((await host.change(topologyOf(['10.0.0.1', '10.0.0.3'], [RULE])))[1]).toEqual(['arp']);
  expect(await host.change(topologyOf(['10.0.0.1', '10.0.0.3'], [RULE]))).toEqual([[], []]);
});
