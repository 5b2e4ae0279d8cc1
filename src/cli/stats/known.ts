/** Who knows what the counters are of: a topology that is given, or the agent. */
import { hostname } from 'node:os';
import type { Counted } from '../../../agent/index.js';
import { CommandError } from '../errors.js';
import { askAgent, understood } from '../socket.js';
import type { Known } from './report.js';

export interface Knowledge {
  readonly known: Known | undefined;
  /** Undefined where no agent answers. */
  readonly since: Counted['since'] | undefined;
  /** Why nobody knows, and what to do; undefined where somebody does. */
  readonly nameless: string | undefined;
}

export interface KnowledgeArguments {
  readonly topology: readonly string[] | undefined;
  readonly host: string | undefined;
  readonly socket: string;
}

export async function knowledge({ topology, host, socket }: KnowledgeArguments): Promise<Knowledge> {
  const counted = await askCounted(socket);
  const answer = typeof counted === 'string' ? undefined : counted;
  const given = topology === undefined ? undefined : await legendIn(topology, host ?? hostname());
  const legend = given ?? answer;
  return {
    known: legend === undefined ? undefined : { legend, by: given === undefined ? 'agent' : 'topology' },
    since: answer?.since,
    nameless:
      legend === undefined && typeof counted === 'string'
        ? `rules and ports are named as they are loaded, by the starts of their ids: ${counted}; -t TOPOLOGY --host H names them`
        : undefined,
  };
}

/** @returns why there is none. */
async function askCounted(socket: string): Promise<Counted | string> {
  try {
    const { code, body } = await askAgent(socket, '/counted');
    return code === 200
      ? understood(socket, () => JSON.parse(body) as Counted)
      : 'the agent here is of another version';
  } catch (error) {
    if (error instanceof CommandError) return error.message.replace(/^--socket: /, '');
    throw error;
  }
}

async function legendIn(topology: readonly string[], host: string): Promise<Known['legend']> {
  const { legendOfTopology } = await import('./legend-of-topology.js');
  return legendOfTopology(topology, host);
}
