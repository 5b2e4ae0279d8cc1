/** An nft(8) in front of the real one, which can be switched to do something else. */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';

const REAL = '/usr/sbin/nft';

export class WrappedNft {
  readonly #folder: string;

  /**
   * @param folder that is removed with the test.
   * @param arguments_ a pattern of sh(1): runs whose arguments match it do something else while it is on.
   * @param action of sh(1), instead.
   */
  constructor(folder: string, arguments_: string, action: string) {
    this.#folder = mkdtempSync(join(folder, 'nft-'));
    const on = join(this.#folder, 'on');
    const script = `#!/bin/sh\nif [ -e ${on} ]; then case "$*" in ${arguments_}) ${action};; esac; fi\nexec ${REAL} "$@"\n`;
    writeFileSync(join(this.#folder, 'nft'), script);
    chmodSync(join(this.#folder, 'nft'), 0o755);
  }

  /** For the environment of an agent. */
  get env(): Readonly<Record<string, string>> {
    return { PATH: `${this.#folder}${delimiter}${process.env['PATH'] ?? ''}` };
  }

  on(): void {
    writeFileSync(join(this.#folder, 'on'), '');
  }

  off(): void {
    rmSync(join(this.#folder, 'on'));
  }
}
