/** What is said of a source, beside what the gate lets pass of it. */
import { expect, it } from 'vitest';
import { CLOCK } from '../../../agent/clock.js';
import type { AgentEvent } from '../../../agent/events.js';
import { Following } from '../../../agent/following.js';
import { IsolatedObjects } from '../../../agent/isolated-objects.js';
import { LiveTopology } from '../../../agent/live-topology.js';
import { diffTopologies, EMPTY_TOPOLOGY, stale, type SourceEvent } from '../../../compiler/model/index.js';

const EMPTY: SourceEvent = { kind: 'topology', topology: EMPTY_TOPOLOGY, problems: [], isolations: [] };
const NOTHING: SourceEvent = {
  kind: 'changes',
  changes: diffTopologies(EMPTY_TOPOLOGY, EMPTY_TOPOLOGY),
  problems: [],
  isolations: [],
};

/** An agent that had a port when it began, and is told that there are none. */
function holding(): { readonly following: Following; readonly told: string[] } {
  const told: string[] = [];
  const tell = ({ kind }: AgentEvent): void => {
    told.push(kind);
  };
  const obedient = {
    live: new LiveTopology(() => true),
    changeTopology: () => undefined,
    setRevision: () => undefined,
  };
  const isolated = new IsolatedObjects('here', tell);
  const following = new Following({ name: 'source' }, () => true, false, obedient, isolated, tell, CLOCK);
  following.remember(['tap1']);
  following.hear(EMPTY);
  expect(following.isHolding).toBe(true);
  return { following, told };
}

it('what is held is accepted: then all is well', () => {
  const { following, told } = holding();
  expect(following.accept()).toBe(true);
  expect([following.staleSince, following.problems]).toEqual([undefined, []]);
  expect(told).toEqual(['source-stale', 'accepted', 'source-well']);
});

it('what is held is accepted while the source cannot be used: that is said until it can', () => {
  const { following, told } = holding();
  following.hear(stale('source', 'nobody answers'));
  const since = following.staleSince;
  expect(following.accept()).toBe(true);
  expect(following.isHolding).toBe(false);
  expect(since).toBeDefined();
  expect(following.staleSince).toBe(since);
  expect(following.problems).toEqual([expect.stringContaining('nobody answers')]);
  expect(told).not.toContain('source-well');
  following.hear(NOTHING);
  expect([following.staleSince, following.problems, told.at(-1)]).toEqual([undefined, [], 'source-well']);
});

it('a source that came back while something is held is well when that is accepted', () => {
  const { following } = holding();
  following.hear(stale('source', 'nobody answers'));
  following.hear(NOTHING);
  expect(following.isHolding).toBe(true);
  following.accept();
  expect([following.staleSince, following.problems]).toEqual([undefined, []]);
});
