import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, it } from 'vitest';
import { AgentMemory } from '../../support/agent-memory.js';

setFlagsFromString('--expose_gc');
// A context that begins now has what the flag exposes.
const collect = runInNewContext('gc') as () => void;

/** Fills maps to just below where they double. */
const MEMBERS = 30_000;
/** Of each member, in bytes: docs/scale.md says what was measured. */
const MOST = 950;

function heap(): number {
  collect();
  collect();
  return process.memoryUsage().heapUsed;
}

it('a member that rules name costs no copy of its text, and is kept once', () => {
  // What is loaded and compiled at the first use is not the members'.
  const few = new AgentMemory(100);
  const before = heap();
  const many = new AgentMemory(MEMBERS);
  const each = (heap() - before) / MEMBERS;
  expect(many.elements - few.elements).toBe(MEMBERS - 100);
  expect(each).toBeLessThan(MOST);
});
