/** Explanations as lines of text. */
import { formatAddress, familyBits, makePrefix, protocolName, quoteValue, type Family } from '../model/index.js';
import { EPHEMERAL_PORT, type Explanation } from './explain.js';
import type { Range, Ranges } from './partition.js';
import type { ServiceSet } from './services.js';
import type { PacketBox, Part, SetExplanation } from './sets.js';
import type { RuleReference } from './texts.js';

/** Marks for a terminal; identity functions for plain text. */
export interface Paint {
  readonly good: (text: string) => string;
  readonly bad: (text: string) => string;
  readonly dim: (text: string) => string;
}

/** An explanation as lines of text. */
export function renderExplanation(explanation: Explanation, paint: Paint): readonly string[] {
  const word = (verdict: 'accept' | 'drop'): string =>
    verdict === 'accept' ? paint.good('allowed') : paint.bad('dropped');
  return [
    `${explanation.family} ${explanation.from} -> ${explanation.to}: ${word(explanation.verdict)}`,
    ...explanation.halves.flatMap((side) => [
      `  ${side.direction}${side.port === undefined ? '' : ` of port ${portText(side.port)}`}: ${word(side.verdict)}: ${side.because}`,
      ...(side.rule === undefined ? [] : [`    ${ruleLine(side.rule)}`]),
      ...side.nearest.flatMap(({ rule, mismatches }) => [
        `    nearest: ${ruleLine(rule)}`,
        ...mismatches.map((text) => paint.dim(`      but ${text}`)),
      ]),
      ...side.hints.map((hint) => `    note: ${hint}`),
    ]),
  ];
}

function portText({ id, name }: { readonly id: string; readonly name: string }): string {
  return name === '' ? id : `${quoteValue(name)} (${id})`;
}

function ruleLine({ groupName, groupId, ruleId, text }: RuleReference): string {
  return `${text}  [group ${quoteValue(groupName)} ${groupId}, rule ${ruleId}]`;
}

/** A set that is named: as it was typed, or as its parts are. */
export interface Asked {
  readonly from: string;
  readonly to: string;
  readonly services: string;
}

/** More ranges, services or combinations of them than this are counted. */
const MOST_SHOWN = 8;

/** An explanation of many packets as lines of text. */
export function renderSet({ family, verdict, parts }: SetExplanation, asked: Asked, paint: Paint): readonly string[] {
  const word = {
    accept: paint.good('all allowed'),
    drop: paint.bad('all dropped'),
    partial: paint.bad('some dropped'),
  };
  return [
    `${family} ${asked.from} -> ${asked.to}, ${asked.services}: ${word[verdict]}`,
    ...parts.flatMap((part) => [
      `  ${part.verdict === 'accept' ? paint.good('allowed') : paint.bad('dropped')}:`,
      ...boxLines(family, part.packets).map((line) => `    ${line}`),
      ...halfLines(part).map(paint.dim),
    ]),
  ];
}

function boxLines(family: Family, boxes: readonly PacketBox[]): readonly string[] {
  const more = boxes.length - MOST_SHOWN;
  const lines = boxes.slice(0, MOST_SHOWN).map((box) => boxText(family, box));
  return more > 0 ? [...lines, `and ${more.toString()} more combinations: --json lists all`] : lines;
}

function boxText(family: Family, { from, to, services }: PacketBox): string {
  return `${shown(rangeTexts(family, from))} -> ${shown(rangeTexts(family, to))}: ${shown(serviceTexts(services))}`;
}

function shown(texts: readonly string[]): string {
  const more = texts.length - MOST_SHOWN;
  return more > 0 ? `${texts.slice(0, MOST_SHOWN).join(', ')} and ${more.toString()} more` : texts.join(', ');
}

function halfLines({ halves }: Part): readonly string[] {
  return halves.map((side) => {
    const why = side.reason === 'outside' ? 'no port of this topology: not filtered here' : side.because;
    return `      ${side.direction}: ${why}${side.rule === undefined ? '' : `: ${ruleLine(side.rule)}`}`;
  });
}

/** Addresses, prefixes where a range is one, and ranges. */
export function rangeTexts(family: Family, ranges: Ranges): readonly string[] {
  return ranges.map(({ first, last }) => {
    const bits = familyBits(family);
    const free = (last - first + 1n).toString(2).length - 1;
    const prefix = makePrefix(family, first, bits - free);
    if (prefix.network === first && last - first + 1n === 1n << BigInt(free)) return prefix.text;
    return `${formatAddress(family, first)}-${formatAddress(family, last)}`;
  });
}

/** `tcp 80, 443`: each protocol with its ports, types and codes; without them where it is all of them. */
export function serviceTexts(sets: readonly ServiceSet[]): readonly string[] {
  return sets.flatMap((set) => {
    switch (set.kind) {
      case 'ports': {
        const sources = isEphemeral(set.sources) ? '' : numbersText(' from port ', set.sources, 65_535);
        return `${protocolName(set.protocol)}${numbersText(' ', set.destinations, 65_535)}${sources}`;
      }
      case 'icmp':
        return `${protocolName(set.protocol)}${numbersText(' type ', set.types, 255)}${numbersText(' code ', set.codes, 255)}`;
      case 'other':
        return set.protocols.map((range) =>
          isOne([range]) ? protocolName(Number(range.first)) : `protocols ${numberText(range)}`,
        );
    }
  });
}

function numbersText(word: string, ranges: Ranges, most: number): string {
  const [range] = ranges;
  if (ranges.length === 1 && range?.first === 0n && range.last === BigInt(most)) return '';
  return `${word}${ranges.map(numberText).join(',')}`;
}

function numberText({ first, last }: Range): string {
  return first === last ? first.toString() : `${first.toString()}-${last.toString()}`;
}

/** A source port that was not asked about is not worth a word. */
function isEphemeral(ranges: Ranges): boolean {
  return isOne(ranges) && ranges[0]?.first === BigInt(EPHEMERAL_PORT);
}

function isOne([range, ...more]: Ranges): boolean {
  return more.length === 0 && range?.first === range?.last;
}
