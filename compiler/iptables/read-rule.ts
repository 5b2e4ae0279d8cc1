/**
 * A rule that iptables-save(8) lists, whoever made it. What has a form of ours becomes the data of which that form is printed;
 * anything else is kept as it stands, part by part. So a rule is printed as it was listed, but for names of protocols.
 */
import { protocolOf } from './protocols.js';
import type { IptablesRule, Match, RulePrefix, Target } from './rule.js';
import { printMatch, printPrefix, printTarget, printWord } from './rule-text.js';

type Draft = { -readonly [Field in keyof IptablesRule]: IptablesRule[Field] };

/** @param listed without `-A CHAIN`. */
export function readRule(listed: string): IptablesRule {
  const words = wordsOf(listed);
  const rule: Draft = {};
  const start = readHead(words, rule);
  let end = start;
  while (end < words.length && words[end] !== '-j' && words[end] !== '-g') end++;
  if (start < end) rule.matches = readMatches(words.slice(start, end));
  if (end < words.length) rule.target = readTarget(words.slice(end));
  return rule;
}

/** Up to the next space that is not within quotes; a word keeps its quotes. */
function wordsOf(text: string): readonly string[] {
  if (!text.includes('"')) return text.split(' ');
  const words: string[] = [];
  let [start, isQuoted] = [0, false];
  for (let at = 0; at < text.length; at++) {
    const sign = text[at];
    if (sign === '\\') at++;
    else if (sign === '"') isQuoted = !isQuoted;
    else if (sign === ' ' && !isQuoted) {
      words.push(text.slice(start, at));
      start = at + 1;
    }
  }
  words.push(text.slice(start));
  return words;
}

/** @returns where the matches begin: at the first word that is not in its place. */
function readHead(words: readonly string[], rule: Draft): number {
  let at = 0;
  const option = <T>(name: string, read: (word: string) => T | undefined): T | undefined => {
    const value = words[at] === name ? read(words[at + 1] ?? '') : undefined;
    if (value !== undefined) at += 2;
    return value;
  };
  const source = option('-s', readPrefix);
  if (source !== undefined) rule.source = source;
  const destination = option('-d', readPrefix);
  if (destination !== undefined) rule.destination = destination;
  const input = option('-i', readWord);
  if (input !== undefined) rule.input = input;
  const output = option('-o', readWord);
  if (output !== undefined) rule.output = output;
  const protocol = option('-p', protocolOf);
  if (protocol !== undefined) rule.protocol = protocol;
  if (words[at] !== '!' || words[at + 1] !== '-p') return at;
  const notProtocol = protocolOf(words[at + 2] ?? '');
  if (notProtocol === undefined) return at;
  rule.notProtocol = notProtocol;
  return at + 3;
}

function readWord(word: string): string | undefined {
  const text = word.startsWith('"') ? word.slice(1, -1).replaceAll(/\\(.)/g, '$1') : word;
  return printWord(text) === word ? text : undefined;
}

function readPrefix(word: string): RulePrefix | undefined {
  const slash = word.indexOf('/');
  const length = Number(word.slice(slash + 1));
  // An address is listed with its length, a prefix is named with it.
  const isExact = length === (word.includes(':') ? 128 : 32);
  const prefix = { text: isExact ? word.slice(0, slash) : word, length };
  return slash > 0 && length > 0 && printPrefix(prefix) === word ? prefix : undefined;
}

function readMatches(words: readonly string[]): readonly Match[] {
  const matches: Match[] = [];
  for (let start = 0, end = 0; start < words.length; start = end) {
    end = words.indexOf('-m', start + 1);
    if (end < 0) end = words.length;
    matches.push(readMatch(words.slice(start, end)));
  }
  return matches;
}

function readMatch(words: readonly string[]): Match {
  const text = words.join(' ');
  const match = words[0] === '-m' ? matchOf(words) : undefined;
  return match !== undefined && printMatch(match) === text ? match : { kind: 'other', text };
}

/** What the words mean if they have a form of ours: whoever asks prints it again, to see whether they do. */
function matchOf([, name, option, value = '', more = '', last = '']: readonly string[]): Match | undefined {
  switch (name) {
    case 'mac':
      return { kind: 'mac', mac: value };
    case 'set':
      return { kind: 'set', set: value, side: more === 'src' ? 'src' : 'dst' };
    case 'multiport':
      return { kind: 'ports', ranges: value.split(',').map(readRange) };
    case 'udp':
      return { kind: 'udp', from: Number(value), to: Number(last) };
    case 'icmp':
    case 'icmp6': {
      const [type, code] = value.split('/');
      const asked = { kind: name === 'icmp' ? 'icmp' : 'icmpv6', type: Number(type) } as const;
      return code === undefined ? asked : { ...asked, code: Number(code) };
    }
    case 'connmark':
      return { kind: 'connmark', ...readBits(value) };
    case 'conntrack':
      if (option === '--ctstate') return { kind: 'state', states: value.split(',') };
      return { kind: 'direction', direction: value === 'REPLY' ? 'REPLY' : 'ORIGINAL' };
    case 'pkttype':
      return { kind: 'packet-type', type: value };
    case 'physdev':
      return bridgePortOf(option, value);
    case 'u32':
      return { kind: 'u32', tests: value.slice(1, -1) };
    default:
      return undefined;
  }
}

function bridgePortOf(option: string | undefined, word: string): Match {
  if (option === '!') return { kind: 'not-bridged' };
  const device = readWord(word) ?? '';
  return { kind: option === '--physdev-in' ? 'bridge-input' : 'bridge-output', device };
}

function readTarget(words: readonly string[]): Target {
  const text = words.join(' ');
  const target = targetOf(words);
  return target !== undefined && printTarget(target) === text ? target : { kind: 'other', text };
}

/** As {@link matchOf}. */
function targetOf([how, name = '', option, value = '']: readonly string[]): Target | undefined {
  if (how === '-g') return { kind: 'goto', chain: name };
  switch (name) {
    case 'ACCEPT':
    case 'DROP':
    case 'RETURN':
      return { kind: 'verdict', verdict: name };
    case 'CT':
      return option === '--notrack' ? { kind: 'notrack' } : { kind: 'zone', zone: Number(value) };
    case 'MARK':
      return { kind: 'mark', ...readBits(value) };
    case 'CONNMARK':
      return { kind: 'connmark', ...readBits(value) };
    default:
      return { kind: 'jump', chain: name };
  }
}

function readRange(range: string): { readonly first: number; readonly last: number } {
  const [first, last = first] = range.split(':').map(Number);
  return { first: first ?? NaN, last: last ?? NaN };
}

function readBits(text: string): { readonly value: number; readonly mask: number } {
  const [value = NaN, mask = NaN] = text.split('/').map(Number);
  return { value, mask };
}
