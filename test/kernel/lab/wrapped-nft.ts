/** An nft(8) in front of the real one, which can be switched to do something else. */
import { chmodSync, existsSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';

const REAL = '/usr/sbin/nft';

export class WrappedNft {
  readonly #folder: string;

  /**
   * @param folder that is removed with the test.
   * @param arguments_ a pattern of sh(1): runs whose arguments match it do something else while it is on.
   * @param action of sh(1), instead.
   */
  constructor(folder: string, arguments_: string, action = ':') {
    this.#folder = mkdtempSync(join(folder, 'nft-'));
    const [on, once, taken] = ['on', 'once', 'taken'].map((name) => join(this.#folder, name));
    const script = `#!/bin/sh
case "$*" in ${arguments_})
  if [ -e ${String(on)} ]; then ${action}; fi
  if [ -e ${String(once)} ] && mv ${String(once)} ${String(taken)} 2> /dev/null; then . ${String(taken)}; fi;;
esac
exec ${REAL} "$@"
`;
    writeFileSync(join(this.#folder, 'nft'), script);
    chmodSync(join(this.#folder, 'nft'), 0o755);
  }

  /** For the environment of an agent, whose transactions nft makes then. */
  get env(): Readonly<Record<string, string>> {
    return {
      PATH: `${this.#folder}${delimiter}${process.env['PATH'] ?? ''}`,
      PORTCULLIS_TRANSACTIONS: 'nft',
    };
  }

  on(): void {
    writeFileSync(join(this.#folder, 'on'), '');
  }

  /** The next such run does that instead, and no other. */
  once(action: string): void {
    rmSync(join(this.#folder, 'taken'), { force: true });
    const next = join(this.#folder, 'next');
    writeFileSync(next, action);
    renameSync(next, join(this.#folder, 'once'));
  }

  /** A run has done what {@link once} said. */
  get isTaken(): boolean {
    return existsSync(join(this.#folder, 'taken'));
  }

  off(): void {
    rmSync(join(this.#folder, 'on'));
  }
}
