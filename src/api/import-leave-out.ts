/** What of a document is left out when it is imported: objects that cannot be used, and what names them. */
import type { Isolation, ProblemCode, SourceDocument } from '../../compiler/model/index.js';
import { isObject, listOf, shown } from './kinds/parsers.js';

/** One thing that is wrong, and with which object. */
export interface ImportProblem {
  readonly file: string;
  /** `ports[3]`, or deeper. */
  readonly path: string;
  readonly message: string;
  readonly code?: ProblemCode;
}

/** The innermost object of a path: one of a list, or a rule in its group. */
const OBJECT = /^([a-z_]+)\[(\d+)\](?:\.security_group_rules\[(\d+)\])?/;

/** Of an object, for people: where it stands is said of what was left when it was looked at. */
export function idAt(documents: readonly SourceDocument[], { file, path }: ImportProblem): string {
  const [, key = '', index, rule] = OBJECT.exec(path) ?? [];
  const content = documents.find((one) => one.file === file)?.content;
  const list = isObject(content) ? content[key] : undefined;
  const item: unknown = Array.isArray(list) ? list[Number(index)] : undefined;
  const rules = isObject(item) ? item['security_group_rules'] : undefined;
  const inner: unknown = rule !== undefined && Array.isArray(rules) ? rules[Number(rule)] : item;
  return isObject(inner) && inner['id'] !== undefined ? `${shown(inner['id'])}: ` : '';
}

/** A group that a port names: one that is not there costs the port no more than what it has of it. */
const GROUP_OF_PORT = /^ports\[\d+\]\.security_groups\[\d+\]$/;
/** Of many problems that are alike: how many more there are. They come again when these are out of the way. */
const COUNT = '[]';

/** The same objects as an agent isolates are left out, and what names something that is not there. Undefined where a problem is no object's. */
export function withoutObjects(
  documents: readonly SourceDocument[],
  problems: readonly ImportProblem[],
  isolations: readonly Isolation[],
): readonly SourceDocument[] | undefined {
  const gone = new Set(isolations.flatMap(({ places }) => places.map(({ file, path }) => `${file} ${path}`)));
  for (const { file, path, code } of problems) {
    if (path.includes(COUNT)) continue;
    const [object] = code === 'unknown-reference' && GROUP_OF_PORT.test(path) ? [path] : (OBJECT.exec(path) ?? []);
    if (object === undefined) return undefined;
    gone.add(`${file} ${object}`);
  }
  if (gone.size === 0) return undefined;
  return documents.map((document) => {
    const { file, content } = document;
    if (!isObject(content)) return document;
    const kept = Object.entries(content).map(([key, list]) => {
      if (!Array.isArray(list)) return [key, list] as const;
      const items = listOf(list).flatMap((item, index) => {
        const name = `${file} ${key}[${index.toString()}]`;
        if (gone.has(name)) return [];
        if (!isObject(item)) return [item];
        const inner = ['security_group_rules', 'security_groups'].flatMap((field) => {
          const entries = item[field];
          if (!Array.isArray(entries)) return [];
          const isLeft = (_entry: unknown, number: number): boolean =>
            !gone.has(`${name}.${field}[${number.toString()}]`);
          return [[field, listOf(entries).filter(isLeft)] as const];
        });
        return [{ ...item, ...Object.fromEntries(inner) }];
      });
      return [key, items] as const;
    });
    return { ...document, content: Object.fromEntries(kept) };
  });
}
