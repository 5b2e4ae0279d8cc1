/**
 * Closes at once what somebody opened, and what is open while nothing can be loaded; keeps count, so that nothing counts as enforced
 * before a comparison has taken each closing back.
 */
import type { CompileOptions } from '../compiler/index.js';
import { closingText, type Opened } from './closing.js';
import type { Commits } from './commits.js';
import type { LoopEvent } from './events.js';
import type { Ground } from './ground.js';
import { tablesToClose } from './kernel/open.js';
import { SingleFlight } from './single-flight.js';

/** A starting agent that has loaded nothing for as long closes what is open. */
const CLOSE_AFTER_MS = 1000;

export interface ClosingsListener {
  readonly tell: (event: LoopEvent) => void;
  /** What the watching process must know: which devices to close beside those of the managed prefixes. */
  readonly onClosing: (devices: readonly string[]) => void;
}

export class Closings {
  /** Tables that must be closed before anything else is done. */
  #toClose: readonly Opened[] = [];
  readonly #closing = new SingleFlight(
    async () => this.#close(),
    () => this.#toClose.length > 0,
  );
  /** How often tables were closed, and how many of these closings a comparison that began later has taken back. */
  #count = 0;
  #takenBack = 0;
  /** This process brought a policy into the kernel. */
  #wasInForce = false;
  /** What was open was closed, since nothing can be loaded. */
  #isShut = false;
  #forgetLater: (() => void) | undefined;
  /** Devices that are closed when a table opens, as they were told last. */
  #toldDevices: string | undefined;
  #isStopped = false;

  /**
   * @param devices asks which are closed by their names.
   * @param doubt asks for a comparison.
   */
  constructor(
    private readonly options: CompileOptions,
    private readonly ground: Ground,
    private readonly commits: Commits,
    private readonly devices: () => readonly string[],
    private readonly doubt: (reason: string) => void,
    private readonly listener: ClosingsListener,
  ) {}

  get count(): number {
    return this.#count;
  }

  /** The watching process closes something. */
  isTold(): void {
    this.#count++;
  }

  /** A comparison brought everything back that the first ones closed. */
  takenBack(count: number): void {
    this.#takenBack = count;
  }

  /** True while something is closed that nothing took back. */
  get isClosed(): boolean {
    return this.#count > this.#takenBack;
  }

  /** True while what was open is closed, since nothing can be loaded. */
  get isShut(): boolean {
    return this.#isShut;
  }

  /** A policy is in the kernel. */
  isInForce(): void {
    this.#wasInForce = true;
    this.#isShut = false;
    this.#forgetLater?.();
  }

  /** Does not wait for what is under way: that may take long, and has not seen what happened. */
  atOnce(opened: readonly Opened[]): void {
    if (this.options.audit || this.#isStopped) return;
    const others = this.#toClose.filter(({ family }) => !opened.some((one) => one.family === family));
    this.#toClose = [...others, ...opened];
    // Counted as it begins and as it ends: a comparison that began between may have read either.
    this.#count++;
    this.#closing.start();
  }

  /** Done when nothing is being closed. */
  async idle(): Promise<void> {
    await this.#closing.idle();
  }

  /**
   * Closes what nothing loaded closes: what cannot be loaded must not be open. Needs no nft. Tables that are there stay as they are:
   * the former rules stand.
   * @param isStillNeeded asked when it is known what is open: a load may have come to its end meanwhile.
   * @returns false when nothing is open.
   */
  async whatIsOpen(isStillNeeded = (): boolean => true): Promise<boolean> {
    if (this.options.audit || this.#isStopped) return false;
    let opened: readonly Opened[];
    try {
      opened = tablesToClose(await this.ground.kernel.whatIsOpen(), this.devices(), {
        backend: this.ground.backend,
        datapath: this.options.datapath,
        wasInForce: this.#wasInForce,
      });
    } catch (error) {
      this.#notClosed([], error);
      return false;
    }
    if (opened.length === 0 || !isStillNeeded()) return false;
    this.atOnce(opened);
    await this.idle();
    this.#isShut = true;
    return true;
  }

  /** Of a program that hangs at the start nothing is known: what is open then is closed meanwhile. */
  ifLate(): void {
    if (this.#wasInForce || this.#forgetLater !== undefined) return;
    this.#forgetLater = this.ground.clock.after(CLOSE_AFTER_MS, () => void this.meanwhile());
  }

  /** What is under way may have begun with what was there before. */
  async meanwhile(): Promise<void> {
    if (await this.whatIsOpen(() => !this.#wasInForce)) this.doubt('closed meanwhile');
  }

  /** Tells what to close with when somebody opens a table, where that has changed. */
  prepare(): void {
    if (this.options.audit) return;
    const devices = this.devices();
    const asText = devices.join(' ');
    if (asText === this.#toldDevices) return;
    this.#toldDevices = asText;
    this.listener.onClosing(devices);
  }

  stop(): void {
    this.#isStopped = true;
    this.#forgetLater?.();
  }

  #notClosed(opened: readonly Opened[], error: unknown): void {
    this.listener.tell({ kind: 'not-closed', opened, why: error instanceof Error ? error.message : String(error) });
  }

  async #close(): Promise<void> {
    while (this.#toClose.length > 0) {
      const opened = this.#toClose;
      this.#toClose = [];
      const { options } = this;
      const devices = this.devices();
      try {
        await this.ground.kernel.close({ options, devices, opened }, async (make) => this.commits.make(make));
      } catch (error) {
        this.#notClosed(opened, error);
        try {
          await this.commits.applyText(closingText(options, devices, opened));
        } catch {
          // The comparison that follows says what is wrong.
          continue;
        }
      }
      this.#count++;
      this.listener.tell({ kind: 'closed', opened });
    }
  }
}
