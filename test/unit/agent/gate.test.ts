import { describe, expect, it } from 'vitest';
import { SourceGate } from '../../../agent/gate.js';
import {
  diffTopologies,
  EMPTY_TOPOLOGY,
  isEmpty,
  parseTopology,
  type Port,
  type Topology,
} from '../../../compiler/model/index.js';

const isLocal = (port: Port): boolean => port.host === 'here';

/** A topology of so many ports of this host, from a number on, and one of another host. */
function topology(count: number, first = 0): Topology {
  const port = (n: number, host: string): object => ({
    id: `port-${n.toString().padStart(8, '0')}`,
    network_id: 'n',
    mac_address: 'fa:16:3e:00:00:01',
    device: `tap${n.toString()}`,
    'binding:host_id': host,
  });
  const ports = Array.from({ length: count }, (_none, n) => port(first + n, 'here'));
  const { topology: parsed, problems } = parseTopology([
    { file: 't', content: { ports: [...ports, port(9999, 'there')] } },
  ]);
  expect(problems).toEqual([]);
  return parsed;
}

describe('a whole topology', () => {
  it.each([
    [1, 0, 'held'],
    [5, 0, 'held'],
    [5, 1, 'obeyed'],
    [9, 1, 'obeyed'],
    [10, 5, 'obeyed'],
    [10, 4, 'held'],
    [100, 49, 'held'],
    [100, 50, 'obeyed'],
    [0, 0, 'obeyed'],
    [3, 8, 'obeyed'],
  ] as const)('of a host with %i ports that has %i left is: %s', (before, after, kind) => {
    const gate = new SourceGate(isLocal, false);
    gate.whole(topology(before), undefined);
    expect(gate.whole(topology(after), undefined).kind).toBe(kind);
    expect(gate.isHolding).toBe(kind === 'held');
  });

  it('with other ids for the same devices lost nothing', () => {
    const gate = new SourceGate(isLocal, false);
    gate.remember(['tap0', 'tap1']);
    expect(gate.whole(topology(2), undefined).kind).toBe('obeyed');
  });

  it('is held back after a restart, too: the kernel knows the devices', () => {
    const gate = new SourceGate(isLocal, false);
    gate.remember(['tap0', 'tap1']);
    expect(gate.whole(EMPTY_TOPOLOGY, undefined).kind).toBe('held');
  });

  it('that is held back is obeyed when somebody says so, with the changes since', () => {
    const gate = new SourceGate(isLocal, false);
    gate.whole(topology(3), undefined);
    expect(gate.accept()).toBeUndefined();
    gate.whole(EMPTY_TOPOLOGY, undefined);
    const [one] = topology(1).ports.values();
    if (one === undefined) throw new Error('no port');
    const changes = { ports: new Map([[one.id, one]]), securityGroups: new Map(), addressGroups: new Map() };
    expect(gate.changes(changes).kind).toBe('held');
    const gone = [...topology(3).ports.keys()].filter((id) => id !== one.id);
    expect(gate.accept()?.ports).toEqual(new Map(gone.map((id) => [id, undefined])));
    expect([...gate.inForce.ports.keys()]).toEqual([one.id]);
    expect(EMPTY_TOPOLOGY.ports.size).toBe(0);
  });

  it('changes what is other in it, and nothing when it is said again', () => {
    const gate = new SourceGate(isLocal, false);
    const first = gate.whole(topology(3), undefined);
    expect(first.kind === 'obeyed' ? first.changes : first).toEqual(diffTopologies(EMPTY_TOPOLOGY, topology(3)));
    const second = gate.whole(topology(3, 1), undefined);
    expect(second.kind === 'obeyed' ? [...second.changes.ports.keys()] : second).toEqual([
      'port-00000003',
      'port-00000000',
    ]);
    const third = gate.whole(topology(3, 1), undefined);
    expect(third.kind === 'obeyed' && isEmpty(third.changes)).toBe(true);
  });

  it('is judged by what is in force, not by the one that was held back', () => {
    const gate = new SourceGate(isLocal, false);
    gate.whole(topology(20), undefined);
    gate.whole(topology(1), undefined);
    expect(gate.whole(topology(2), undefined).kind).toBe('held');
    expect(gate.whole(topology(20), undefined).kind).toBe('obeyed');
  });

  it('that the source doubts is held back, unless nothing is in force', () => {
    const gate = new SourceGate(isLocal, true);
    expect(gate.whole(topology(3), 'older').kind).toBe('obeyed');
    expect(gate.whole(topology(3), 'older').kind).toBe('held');
  });

  it('may shrink where that is permitted', () => {
    const gate = new SourceGate(isLocal, true);
    gate.whole(topology(20), undefined);
    expect(gate.whole(EMPTY_TOPOLOGY, undefined).kind).toBe('obeyed');
  });

  it('told from another store, or another time, says that revisions in force are not its own until it is obeyed', () => {
    const gate = new SourceGate(isLocal, false);
    gate.whole(topology(2), undefined);
    expect(gate.isOfAnotherTime).toBe(false);
    expect(gate.whole(topology(2), 'another store').kind).toBe('held');
    expect(gate.isOfAnotherTime).toBe(true);
    gate.changes(diffTopologies(EMPTY_TOPOLOGY, topology(1, 2)));
    expect(gate.isOfAnotherTime).toBe(true);
    gate.accept();
    expect(gate.isOfAnotherTime).toBe(false);
    // What shrank is of the same store: what is in force is an earlier revision of it.
    expect(gate.whole(topology(0), undefined).kind).toBe('held');
    expect(gate.isOfAnotherTime).toBe(false);
  });
});

describe('bad ports', () => {
  const spoilt = (count: number, lastGood: Topology): Topology => {
    const ports = [...topology(count).ports.values()]
      .filter(isLocal)
      .map(({ id, device }) => ({ id, device, 'binding:host_id': 'here', network_id: 'n', mac_address: 'x' }));
    return parseTopology([{ file: 't', content: { ports } }], { lastGood }).topology;
  };

  it('are not gone: their last good versions are there, or what closes their devices', () => {
    const gate = new SourceGate(isLocal, false);
    gate.remember(['tap0', 'tap1']);
    expect(gate.whole(spoilt(2, EMPTY_TOPOLOGY), undefined).kind).toBe('obeyed');
    gate.whole(topology(20), undefined);
    expect(gate.whole(spoilt(20, gate.inForce), undefined).kind).toBe('obeyed');
    expect(gate.whole(topology(0), undefined).kind).toBe('held');
  });

  it('that are closed may go', () => {
    const gate = new SourceGate(isLocal, false);
    gate.whole(spoilt(20, EMPTY_TOPOLOGY), undefined);
    expect(gate.whole(EMPTY_TOPOLOGY, undefined).kind).toBe('obeyed');
  });

  it('keep what is in force, not what is held back', () => {
    const gate = new SourceGate(isLocal, false);
    gate.whole(topology(3), undefined);
    gate.whole(EMPTY_TOPOLOGY, undefined);
    expect([...gate.inForce.ports.keys()]).toEqual([...topology(3).ports.keys()]);
    expect(gate.whole(spoilt(3, gate.inForce), undefined).kind).toBe('obeyed');
    gate.changes({
      ports: new Map([['port-00000001', undefined]]),
      securityGroups: new Map(),
      addressGroups: new Map(),
    });
    expect(gate.inForce.ports.has('port-00000001')).toBe(false);
  });
});

it('single changes are obeyed, the last port of the host included', () => {
  const gate = new SourceGate(isLocal, false);
  gate.whole(topology(1), undefined);
  const gone = new Map([['port-00000000', undefined]]);
  expect(gate.changes({ ports: gone, securityGroups: new Map(), addressGroups: new Map() }).kind).toBe('obeyed');
  expect(gate.whole(EMPTY_TOPOLOGY, undefined).kind).toBe('obeyed');
});
