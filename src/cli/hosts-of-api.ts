/** Asks a running API which revision each host's kernel holds. */
import { z } from 'zod';
import { HOST_REPORT } from '../../compiler/model/index.js';
import type { ApiUrlArguments } from './api-url-options.js';
import { CommandError } from './errors.js';
import { EXIT } from './exit-codes.js';
import { shownText } from './shown-text.js';
import { readTokenFile } from './token-file.js';

/** For an answer. */
const PATIENCE_MS = 10_000;

const HOSTS = z.object({
  revision: z.int().nonnegative(),
  /** For how long hosts could speak there. */
  listening_seconds: z.number(),
  hosts: z.array(
    HOST_REPORT.extend({
      host: z.string(),
      alive: z.boolean(),
      heard_seconds_ago: z.number(),
      behind_seconds: z.number().nullable(),
    }).loose(),
  ),
});
export type HostsAnswer = z.infer<typeof HOSTS>;
export type HostLine = HostsAnswer['hosts'][number];

/** @throws CommandError when it does not answer, or says something else. */
export async function hostsOf(args: ApiUrlArguments): Promise<HostsAnswer> {
  const token = readTokenFile('--token-file', args['token-file']);
  const url = `${args.api.replace(/\/+$/, '')}/portcullis/v1/hosts`;
  const fail = (why: string): never => {
    throw new CommandError(EXIT.invalidInput, `${url}: ${why}`);
  };
  let text: string;
  try {
    const response = await fetch(url, {
      headers: token === undefined ? {} : { 'X-Auth-Token': token },
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    text = await response.text();
    if (!response.ok) return fail(`answers ${response.status.toString()}: ${shownText(text.slice(0, 300))}`);
  } catch (error) {
    if (error instanceof CommandError) throw error;
    const cause = error instanceof Error ? (error.cause ?? error) : error;
    return fail(`${cause instanceof Error ? cause.message : String(cause)}: is portcullis api running there?`);
  }
  try {
    return HOSTS.parse(JSON.parse(text));
  } catch {
    return fail('answers something that is no list of hosts');
  }
}

/** Every live host speaks within 10 s, 15 after a failure (agent/reporter.ts): before, a list may lack some. In seconds. */
const ALL_HAVE_SPOKEN = 20;

/** Why a revision cannot be said to be in force on every live host, a line each; none when it can. */
export function missingFrom({ hosts, listening_seconds: seconds }: HostsAnswer, revision: number): readonly string[] {
  if (seconds < ALL_HAVE_SPOKEN)
    return [`the API has listened for ${seconds.toString()} s: a host may not have spoken yet`];
  const alive = hosts.filter(({ alive: isAlive }) => isAlive);
  // Of whom nobody knows anything, nothing is said to be in force.
  if (alive.length === 0) return ['no host reports to this API'];
  return alive.flatMap((host) => {
    const why = whyNotThere(host, revision);
    return why === undefined ? [] : [`${host.host}: ${why}`];
  });
}

/** Why a revision is not in force on a host that is alive, for each of its ports; undefined when it is. */
export function whyNotThere(host: HostLine, revision: number): string | undefined {
  if (host.revision === null) return host.trouble ?? 'nothing is in force yet';
  if (host.revision < revision) {
    return `it has revision ${host.revision.toString()}${host.trouble === null ? '' : `: ${host.trouble}`}`;
  }
  if (!host.enforced) return host.trouble ?? 'nothing is enforced';
  const [refused] = host.refused;
  return refused === undefined ? undefined : `the kernel refuses port ${refused.port}: ${refused.why}`;
}
