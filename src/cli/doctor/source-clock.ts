/** Whose clock ours is compared with. */
import { readFile } from 'node:fs/promises';
import { runProgram } from '../../../agent/index.js';
import { etcdOf, type EtcdArguments } from '../store-options.js';
import { aheadOf, type ClockFacts, type Credentials } from './clock.js';

/** Where a source is asked for its time; undefined for one that is on this machine. */
export interface ClockSource {
  readonly name: string;
  /** Undefined where it cannot be asked without what it asks for. */
  readonly asked: { readonly url: string; readonly credentials: Credentials } | undefined;
}

/**
 * @param text `api:URL`, `etcd:URL` or another source, as for the agent.
 * @throws CommandError where it is an address of etcd that is none.
 */
export async function clockSourceOf(text: string, args: EtcdArguments): Promise<ClockSource | undefined> {
  if (text.startsWith('api:')) return { name: text, asked: { url: text.slice('api:'.length), credentials: {} } };
  // An agent names its etcd without a scheme, and its certificate is its own.
  if (!text.startsWith('etcd:') || !text.includes('//')) {
    return /^(etcd|neutron):/.test(text) ? { name: text, asked: undefined } : undefined;
  }
  const { address, given } = await etcdOf('--source', text, args);
  const [member = ''] = address.endpoints;
  const files = { ca: given.caFile, cert: given.certificate?.certFile, key: given.certificate?.keyFile };
  const credentials = Object.fromEntries(
    await Promise.all(
      Object.entries(files).flatMap(([name, file]) =>
        file === undefined ? [] : [readFile(file, 'utf8').then((content) => [name, content] as const)],
      ),
    ),
  );
  return { name: text, asked: { url: `${address.isTls ? 'https' : 'http'}://${member}/version`, credentials } };
}

export async function readClock(source: ClockSource | undefined): Promise<ClockFacts> {
  if (source === undefined) return { kind: 'not-needed' };
  let why = `${source.name} is not asked for its time`;
  if (source.asked !== undefined) {
    const { url, credentials } = source.asked;
    try {
      return { kind: 'compared', url, ahead: await aheadOf(url, credentials) };
    } catch (error) {
      why = `${url}: ${error instanceof Error ? error.message : String(error)}`;
    }
  }
  const kept = await runProgram('timedatectl', ['show', '--property=NTPSynchronized', '--value'], { deadline: 5000 });
  const said = kept.kind === 'ended' && kept.code === 0 ? kept.stdout.trim() : '';
  const isSynchronised = said === 'yes' ? true : said === 'no' ? false : undefined;
  return { kind: 'kept', isSynchronised, why: `${why}, and timedatectl does not say whether it is synchronised` };
}
