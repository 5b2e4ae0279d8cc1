/** What an agent is started with. */
import type { CompileOptions } from '../compiler/index.js';
import type { Source } from '../compiler/model/index.js';
import type { BackendName } from './kernel/backend-name.js';
import type { Log } from './log.js';

export interface AgentSettings {
  readonly version: string;
  readonly host: string;
  readonly source: Source;
  readonly options: CompileOptions;
  readonly backend: BackendName;
  /** Path of the status socket. */
  readonly socket: string;
  /** `host:port` for Prometheus; undefined for none. */
  readonly metrics: string | undefined;
  readonly log: Log;
  /** Between comparisons of everything, and up to a tenth more; in milliseconds. */
  readonly verifyEvery: number;
  /** Obey a topology from which this host's ports have gone. */
  readonly allowShrink: boolean;
}
