/**
 * What is loaded of ours beside what is wanted: read without nft(8) where it can be known again so, and else listed and judged by nft.
 */
import type { Table, TableState } from '../../compiler/index.js';
import { seeTables, type SeenTable } from '../netlink/seen-tables.js';
import { NotEncodable } from '../netlink/not-encodable.js';
import { NotKnown } from '../netlink/not-known.js';
import { askVersionAnew, isByNft } from './netlink-load.js';
import { judgeBodies, readLoadedTables } from './nft.js';
import { recognise } from './recognise.js';

export interface WantedTables {
  readonly tables: readonly Table[];
}

export interface Compared<W> {
  readonly wanted: W;
  /** Where a rule does something else than the wanted one of its comment, it does not have that comment. */
  readonly loaded: readonly ComparedTable[];
  /** False where nft does not say what rules do in a form that is known: then only their comments were compared. */
  readonly areBodiesKnown: boolean;
  /** Why it was read by nft; undefined where it was known again without. */
  readonly byNft: string | undefined;
}

export interface ComparedTable extends TableState {
  /** Nobody but the socket that made it may change it (flag `owner`): what it holds is not known. */
  readonly isOwnedByAnother: boolean;
}

/**
 * Compares; changes nothing.
 * @param wanted is asked once what is loaded was read, so that what came meanwhile is in it.
 * @throws KernelError
 */
export async function compareTables<W extends WantedTables>(wanted: () => W): Promise<Compared<W>> {
  askVersionAnew();
  const seen = await see();
  const listed = typeof seen === 'string' ? await readLoadedTables() : undefined;
  const asked = wanted();
  const known = typeof seen === 'string' ? seen : knownAgain(seen, asked.tables);
  if (typeof known !== 'string') return { wanted: asked, loaded: known, areBodiesKnown: true, byNft: undefined };
  const judged = await judgeBodies(listed ?? (await readLoadedTables()), asked.tables);
  return { wanted: asked, loaded: judged.tables, areBodiesKnown: judged.areBodiesKnown, byNft: known };
}

/** Or why only nft can say what is there: where it cannot either, its own reason is what is said. */
async function see(): Promise<readonly SeenTable[] | string> {
  if (isByNft()) return 'the environment says so';
  try {
    return await seeTables();
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function knownAgain(seen: readonly SeenTable[], wanted: readonly Table[]): readonly ComparedTable[] | string {
  try {
    return recognise(seen, wanted).map((table) => ({ ...table, isOwnedByAnother: false }));
  } catch (error) {
    if (error instanceof NotKnown || error instanceof NotEncodable) return error.message;
    throw error;
  }
}
