/** Watches settings of the kernel that enforcement hangs on: nothing tells of their changes, so they are read again and again. */
import { again, type Clock } from '../clock.js';
import { readBridgeCalls } from '../kernel/bridge-calls.js';

const EVERY_MS = 1000;

export class SwitchWatch {
  #fault: string | undefined;
  #end: () => void = () => undefined;

  /** @param onChange what is wrong now; undefined when it is right again. */
  constructor(
    private readonly onChange: (fault: string | undefined) => void,
    private readonly clock: Clock,
    private readonly read = readBridgeCalls,
  ) {}

  /** What is wrong; undefined when nothing is. */
  get fault(): string | undefined {
    return this.#fault;
  }

  start(): void {
    this.#end = again(this.clock, 0, async () => {
      await this.#look();
      return EVERY_MS;
    });
  }

  stop(): void {
    this.#end();
  }

  async #look(): Promise<void> {
    const off = (await this.read()).filter(({ state }) => state !== 'on').map(({ name }) => name);
    const fault =
      off.length === 0
        ? undefined
        : `${off.join(' and ')} ${off.length === 1 ? 'is' : 'are'} off: packets of bridges are not shown to our rules, and are closed; set to 1`;
    if (fault === this.#fault) return;
    this.#fault = fault;
    this.onChange(fault);
  }
}
