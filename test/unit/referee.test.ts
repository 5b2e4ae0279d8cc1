import { describe, expect, it } from 'vitest';
import { Referee } from '../kernel/lab/referee.js';

const KIND = 'a b v4 5000';
const OPEN = 'a b v4 9000';
const sent = (kind: string, number: number, from: number, by = from + 1) => ({ kind, number, sourcePort: 1, from, by });
const received = (kind: string, number: number, at: number) => ({ kind, number, at });

/** Version 0 forbids, 1 allows, 2 forbids; written at 0, 100, 200, seen at 10, 150, 250; 3 is as 2 and ends it. */
function referee(isAtomic = true): Referee {
  const one = new Referee({ isAtomic, openPort: 9000, toggledPorts: [5000] });
  for (const version of [0, 1, 2, 3]) {
    one.announce(version, 100 * version, (kind) => kind === OPEN || version === 1);
  }
  one.saw({ version: 0, at: 10, pid: 1 });
  one.saw({ version: 1, at: 150, pid: 1 });
  one.saw({ version: 2, at: 250, pid: 1 });
  one.saw({ version: 3, at: 350, pid: 1 });
  return one;
}

function judged(one: Referee, datagram: ReturnType<typeof sent>, arrivedAt?: number): Referee {
  const milestone = sent(OPEN, 99, datagram.by + 1);
  one.take({
    sent: [datagram, milestone],
    received: [
      received(OPEN, 99, milestone.by + 1),
      ...(arrivedAt === undefined ? [] : [received(datagram.kind, datagram.number, arrivedAt)]),
    ],
  });
  one.judge();
  return one;
}

describe('the referee of the soak', () => {
  it('finds what passed while every version that may have been in force forbade it', () => {
    const one = judged(referee(), sent(KIND, 1, 20), 30);
    expect(one.passed).toHaveLength(1);
    expect(one.toggled).toEqual({ allowed: 0, forbidden: 1, undecided: 0 });
  });

  it('finds what was lost while every version that may have been in force allowed it', () => {
    const one = judged(referee(), sent(KIND, 1, 160));
    expect(one.lost).toHaveLength(1);
  });

  it('does not know before the kernel was seen to hold a version, nor after the next one was written', () => {
    // Version 1 was written, and not seen.
    expect(judged(referee(), sent(KIND, 1, 110), 120).toggled.undecided).toBe(1);
    // Version 2 was written while it was under way.
    expect(judged(referee(), sent(KIND, 1, 180), 210).toggled.undecided).toBe(1);
    expect(judged(referee(), sent(KIND, 1, 160), 190).toggled.allowed).toBe(1);
  });

  it('excuses what passes while somebody opened the rules, until the kernel was seen to close them, and what is lost until it holds a version again', () => {
    const disturbed = (
      closedAt: number | undefined,
      datagram: ReturnType<typeof sent>,
      arrivedAt?: number,
    ): Referee => {
      const one = referee();
      one.disturbances.begin('a flush', 40);
      one.disturbances.saw({ what: 'opened', at: 42 });
      if (closedAt !== undefined) one.disturbances.saw({ what: 'closed', at: closedAt });
      one.disturbances.saw({ what: 'healed', at: 180 });
      return judged(one, datagram, arrivedAt);
    };
    // Before it was ordered, and while it was open.
    expect(disturbed(60, sent(KIND, 1, 20), 30).passed).toHaveLength(1);
    expect(disturbed(60, sent(KIND, 1, 50), 70).toggled.undecided).toBe(1);
    expect(disturbed(undefined, sent(KIND, 1, 70), 80).toggled.undecided).toBe(1);
    // Closed, nothing passes, whatever is allowed.
    expect(disturbed(60, sent(KIND, 1, 70), 80).passed).toHaveLength(1);
    expect(disturbed(60, sent(KIND, 1, 160)).lost).toEqual([]);
    expect(disturbed(60, sent(KIND, 1, 160), 170).toggled.allowed).toBe(1);
    // Mended, all is as ever.
    expect(disturbed(60, sent(KIND, 1, 185)).lost).toHaveLength(1);
    const one = referee();
    expect(() => {
      one.disturbances.saw({ what: 'opened', at: 1 });
    }).toThrow('by nobody');
    one.disturbances.begin('a flush', 40);
    expect(() => {
      one.disturbances.begin('another', 41);
    }).toThrow('before a flush is over');
  });

  it('judges nothing before a later version was seen, nor what did not arrive before a later datagram did', () => {
    const one = referee();
    one.take({ sent: [sent(KIND, 1, 20), sent(KIND, 2, 360)], received: [received(KIND, 2, 370)] });
    one.judge();
    expect(one.toggled).toEqual({ allowed: 0, forbidden: 0, undecided: 0 });
    expect(one.openSince).toBe(20);
  });

  it('takes back that something was lost, or stopped, when it is read late', () => {
    const one = judged(referee(), sent(KIND, 1, 160));
    one.take({ sent: [], received: [received(KIND, 1, 190)] });
    expect(one.lost).toEqual([]);
    const other = judged(referee(), sent(KIND, 1, 20));
    expect([other.passed, other.toggled.forbidden]).toEqual([[], 1]);
    other.take({ sent: [], received: [received(KIND, 1, 26)] });
    other.judge();
    expect([other.passed.length, other.toggled.forbidden]).toEqual([1, 1]);
  });

  it('says so when the kernel goes back to a version that it had replaced', () => {
    const one = referee();
    one.saw({ version: 1, at: 400, pid: 7 });
    expect(one.relapses).toEqual(['at 400 process 7 put version 1 in place of 3']);
  });

  it('does not know whether what is carried out in part lets pass what each version allows', () => {
    const both = (isAtomic: boolean): Referee => {
      const one = new Referee({ isAtomic, openPort: 9000, toggledPorts: [5000] });
      for (const version of [0, 1, 2]) one.announce(version, 100 * version, () => true);
      for (const version of [0, 1, 2]) one.saw({ version, at: 100 * version + 50, pid: 1 });
      return one;
    };
    // Version 1 was written and not seen yet.
    expect(judged(both(false), sent(KIND, 1, 110)).toggled.undecided).toBe(1);
    expect(judged(both(true), sent(KIND, 1, 110)).lost).toHaveLength(1);
    const ofRanges = both(true);
    ofRanges.rangePorts = [5000];
    expect(judged(ofRanges, sent(KIND, 1, 110)).toggled.undecided).toBe(1);
    expect(judged(both(false), sent(KIND, 1, 160)).lost).toHaveLength(1);
  });

  it('counts versions that were written and not seen where one may be in force in part', () => {
    const only = (isAtomic: boolean): Referee => {
      const one = new Referee({ isAtomic, openPort: 9000, toggledPorts: [5000] });
      [false, true, false, false].forEach((allows, version) => {
        one.announce(version, 100 * version, (kind) => kind === OPEN || allows);
      });
      for (const version of [0, 2, 3]) one.saw({ version, at: 100 * version + 50, pid: 1 });
      return judged(one, sent(KIND, 1, 120), 130);
    };
    expect(only(true).passed).toHaveLength(1);
    expect(only(false).toggled.undecided).toBe(1);
  });
});
