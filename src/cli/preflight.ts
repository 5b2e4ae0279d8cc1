/**
 * What an agent stands on, asked before it begins. Whatever the answer is, and while there is none, no device stays open: what cannot be
 * enforced is closed, in the kernel, by messages that need no program.
 */
import { setTimeout } from 'node:timers';
import { isManagedDevice, type CompileOptions } from '../../compiler/index.js';
import type { BackendName, KernelErrorCode } from '../../agent/index.js';
import { EMPTY_TOPOLOGY, isOnHost, isUnfiltered } from '../../compiler/model/index.js';
import type { Source } from '../../compiler/model/index.js';
import type { Log } from '../../agent/log.js';
import { CommandError } from './errors.js';
import { EXIT } from './exit-codes.js';

/** Who has no answer after as long closes meanwhile. */
const CLOSE_AFTER_MS = 1000;
/** A source is asked for the devices that it names for as long. */
const READ_FOR_MS = 2000;

/** What no second try mends: the agent does not begin. All others may pass, and it tries on. */
const FINAL: ReadonlySet<KernelErrorCode> = new Set(['nft-missing', 'not-permitted', 'unsupported']);

export interface PreflightSettings {
  readonly options: CompileOptions;
  readonly backend: BackendName;
  readonly audit: boolean;
  readonly host: string;
  /** Makes a source of the agent's kind; undefined where none can be read beforehand. */
  readonly source: () => Promise<Source> | undefined;
  readonly log: Log;
}

export class Preflight {
  /** Said once, however often it is asked. */
  #said: string | undefined;

  constructor(private readonly settings: PreflightSettings) {}

  /**
   * @param otherwise stands for an answer that does not come: what is wrong is found again, and said, by whoever needs it.
   * @throws CommandError, when the agent cannot begin; what was open is closed by then.
   */
  async ask<T>(question: () => Promise<T>, otherwise: T): Promise<T> {
    const late = setTimeout((): void => void this.#close('no answer yet'), CLOSE_AFTER_MS);
    try {
      return await question();
    } catch (error) {
      const { KernelError } = await import('../../agent/index.js');
      if (error instanceof CommandError) throw await this.#ended(error.exitCode, error.message);
      if (!(error instanceof KernelError)) throw error;
      if (error.code === 'not-permitted') throw error;
      if (FINAL.has(error.code)) throw await this.#ended(EXIT.kernelRefused, error.message);
      await this.#close(error.message);
      return otherwise;
    } finally {
      clearTimeout(late);
    }
  }

  async #ended(exitCode: number, message: string): Promise<CommandError> {
    const isClosed = await this.#closeQuietly();
    return new CommandError(exitCode, isClosed ? `${message}; until then the host’s ports are closed` : message);
  }

  async #close(why: string): Promise<void> {
    const isClosed = await this.#closeQuietly();
    if (why === this.#said) return;
    this.#said = why;
    this.settings.log.error({ id: 'closed' }, isClosed ? `closed, until rules can be loaded: ${why}` : why);
  }

  /** @returns true when something was open, and no longer is. */
  async #closeQuietly(): Promise<boolean> {
    const { options, backend, audit } = this.settings;
    if (audit) return false;
    const { closeWhatIsOpen } = await import('../../agent/index.js');
    try {
      return await closeWhatIsOpen(options, backend, await this.#devices());
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      this.settings.log.error({ id: 'not-closed' }, `cannot be closed: ${why}`);
      return false;
    }
  }

  /** Devices of this host's ports that the managed prefix does not close. */
  async #devices(): Promise<readonly string[]> {
    // One that cannot be made is said when the agent begins.
    const source = await this.settings.source()?.catch(() => undefined);
    if (source === undefined) return [];
    const { host, options } = this.settings;
    const devices = new Promise<readonly string[]>((resolve) => {
      const nothing = setTimeout(resolve, READ_FOR_MS, []);
      source.start(
        (event) => {
          clearTimeout(nothing);
          const ports = event.kind === 'topology' ? [...event.topology.ports.values()] : [];
          resolve(
            ports
              .filter((port) => isOnHost(port, host) && !isUnfiltered(port))
              .map(({ device }) => device)
              .filter((device) => !isManagedDevice(options, device)),
          );
        },
        () => EMPTY_TOPOLOGY,
      );
    });
    try {
      return await devices;
    } finally {
      source.stop();
    }
  }
}
