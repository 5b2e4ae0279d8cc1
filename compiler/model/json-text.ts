/**
 * What JSON.parse passes over in a text that it takes: keys that an object has twice (of which the last one would count, and the
 * reader sees the first), how deep it is, and where each value stands.
 */
import type { TextPosition } from './parse/report.js';

/** No topology is deeper than a dozen; what is could end whoever walks through it. */
export const MOST_NESTED = 64;

export interface JsonFlaw {
  readonly offset: number;
  readonly message: string;
}

/** What a text says; undefined for what is no JSON. */
export function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/** The first flaw of a text; undefined for none. Says nothing of syntax. */
export function flawOfJson(text: string): JsonFlaw | undefined {
  const keys: (Set<string> | undefined)[] = [];
  let flaw: JsonFlaw | undefined;
  walkJson(text, {
    enter: (isObject, offset) => {
      keys.push(isObject ? new Set() : undefined);
      if (keys.length <= MOST_NESTED) return true;
      flaw = { offset, message: `is nested deeper than ${MOST_NESTED.toString()} levels` };
      return false;
    },
    leave: () => {
      keys.pop();
    },
    key: (name, offset) => {
      const seen = keys.at(-1);
      if (seen?.has(name) !== true) {
        seen?.add(name);
        return true;
      }
      flaw = { offset, message: `has the key ${JSON.stringify(name)} twice in one object` };
      return false;
    },
  });
  return flaw;
}

/** Where a path of the model (`ports[3].fixed_ips[0].ip_address`) stands, or what of it there is. */
export function locateInJson(text: string, path: string): TextPosition {
  const steps = stepsOf(path);
  /** Where we are: a key or an index for each level that was entered. */
  const at: { readonly isObject: boolean; step: string }[] = [];
  let found = 0;
  let depth = 0;
  const matches = (): boolean => at.length <= steps.length && at.every(({ step }, index) => step === steps[index]);
  const note = (offset: number): void => {
    if (at.length > depth && matches()) {
      depth = at.length;
      found = offset;
    }
  };
  walkJson(text, {
    enter: (isObject, offset) => {
      const parent = at.at(-1);
      if (parent !== undefined && !parent.isObject) note(offset);
      at.push({ isObject, step: isObject ? '' : '0' });
      return depth < steps.length;
    },
    leave: () => {
      at.pop();
    },
    key: (name, offset) => {
      const here = at.at(-1);
      if (here !== undefined) here.step = name;
      note(offset);
      return depth < steps.length;
    },
    comma: () => {
      const here = at.at(-1);
      if (here !== undefined && !here.isObject) here.step = (Number(here.step) + 1).toString();
    },
  });
  return positionAt(text, found);
}

/** `ports[3].name` is ports, 3, name. Keys that need quotes are taken as they are quoted. */
export function stepsOf(path: string): readonly string[] {
  return path.split(/[.[\]]/).filter((step) => step !== '');
}

/** Line and column of an offset, counted from 1. */
export function positionAt(text: string, offset: number): TextPosition {
  const before = text.slice(0, offset);
  const line = before.split('\n').length;
  return { line, column: offset - before.lastIndexOf('\n') };
}

interface Visitor {
  /** False ends the walk, here and below. */
  readonly enter: (isObject: boolean, offset: number) => boolean;
  readonly leave: () => void;
  readonly key: (name: string, offset: number) => boolean;
  readonly comma?: () => void;
}

/** Walks through the text of valid JSON, without a stack of calls. */
function walkJson(text: string, visitor: Visitor): void {
  let isKeyNext = false;
  const isObject: boolean[] = [];
  for (let index = 0; index < text.length; index++) {
    switch (text[index]) {
      case '{':
      case '[':
        isObject.push(text[index] === '{');
        isKeyNext = text[index] === '{';
        if (!visitor.enter(isKeyNext, index)) return;
        break;
      case '}':
      case ']':
        isObject.pop();
        isKeyNext = false;
        visitor.leave();
        break;
      case ',':
        isKeyNext = isObject.at(-1) === true;
        visitor.comma?.();
        break;
      case '"': {
        const begin = index;
        index = endOfString(text, index);
        if (!isKeyNext) break;
        isKeyNext = false;
        if (!visitor.key(stringIn(text.slice(begin, index + 1)), begin)) return;
        break;
      }
      default:
        break;
    }
  }
}

/** The offset of the quote that ends the string which begins there. */
function endOfString(text: string, begin: number): number {
  for (let index = begin + 1; index < text.length; index++) {
    if (text[index] === '\\') index++;
    else if (text[index] === '"') return index;
  }
  return text.length;
}

function stringIn(quoted: string): string {
  try {
    return String(JSON.parse(quoted));
  } catch {
    return quoted;
  }
}
