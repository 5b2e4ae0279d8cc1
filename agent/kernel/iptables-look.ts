/** A cheap look at what nobody tells of: sets of ipset and, in the legacy flavour, rules. Costs what their programs cost to list them. */
import { createHash } from 'node:crypto';
import { planIptables, readIpsets, readIptables, type IptablesProgram } from '../../compiler/index.js';
import type { IptablesPrograms } from './driver.js';

export class IptablesLook {
  /** The digest of what was listed when it was last compared, and right. */
  #right: string | undefined;

  /** @param wanted what should be loaded, as far as a look goes; asked only when something is listed that was not before. */
  constructor(
    private readonly iptables: Pick<IptablesPrograms, 'listSets' | 'listRules'>,
    private readonly wanted: () => IptablesProgram,
  ) {}

  /** What is wanted has changed. */
  forget(): void {
    this.#right = undefined;
  }

  /**
   * @param hasRules false where the kernel tells of rules.
   * @returns true when what is loaded is what is wanted.
   * @throws KernelError
   */
  async isRight(hasRules: boolean): Promise<boolean> {
    const [sets, v4, v6] = await Promise.all([
      this.iptables.listSets(),
      hasRules ? this.iptables.listRules('IPv4') : '',
      hasRules ? this.iptables.listRules('IPv6') : '',
    ]);
    const digest = createHash('sha256');
    for (const text of [sets, v4, v6]) digest.update(essenceOf(text)).update('\0');
    const seen = digest.digest('base64');
    if (seen === this.#right) return true;
    const wanted = this.wanted();
    const loaded = {
      sets: readIpsets(sets),
      families: hasRules ? { IPv4: readIptables(v4), IPv6: readIptables(v6) } : wanted.families,
    };
    const isRight = planIptables(loaded, wanted).changes.length === 0;
    this.#right = isRight ? seen : undefined;
    return isRight;
  }
}

/** Without comments, which have a date, and without counters of chains. */
function essenceOf(listing: string): string {
  return listing.replaceAll(/^#.*$| \[\d+:\d+\]$/gm, '');
}
