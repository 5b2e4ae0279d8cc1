/**
 * Cuts live flows whose permission was revoked, and lets them go on when it is granted again: sets and clears our bit of
 * the conntrack mark, which the loaded rules look at before they let an established flow pass.
 *
 * A sweep lists the flows once, whatever the number of revocations since the last one. Some flows are looked at a second
 * time a little later: a first packet may have been judged by the former rules and entered the table during the first look.
 */
import { setImmediate } from 'node:timers/promises';
import { sourcePrefixes, type FlowBits, type HostCompiler, type Touched } from '../../compiler/index.js';
import type { JudgeContext } from '../../compiler/semantics/index.js';
import { isExact, type Port, type Prefix } from '../../compiler/model/index.js';
import type { Clock } from '../clock.js';
import { addressKey, type AddressKey, type Conntrack, type Flow } from '../netlink/conntrack.js';
import { SingleFlight } from '../single-flight.js';
import { AdmissionCheck, type Admission } from './admission.js';

/** Judged between two looks at the event loop. */
const AT_ONCE = 2000;
/** The second look. */
const SECOND_LOOK_MS = 500;

export interface SweepResult {
  readonly revoked: number;
  readonly restored: number;
  readonly looked: number;
  readonly milliseconds: number;
}

export interface SweeperOptions {
  readonly conntrack: Pick<Conntrack, 'flows' | 'mark'>;
  readonly clock: Clock;
  readonly compiler: HostCompiler;
  readonly bits: FlowBits;
  readonly widestPairLength: JudgeContext['widestPairLength'];
  readonly onResult: (result: SweepResult) => void;
  /** Flows of this host's ports whose marks somebody wrote over, and our bits in them. */
  readonly onOverwritten: (flows: number) => void;
  readonly onError: (error: unknown) => void;
}

/** Which flows to look at. */
interface Scope {
  readonly isAll: boolean;
  readonly prefixes: readonly Prefix[];
  readonly gone: readonly Prefix[];
  /** Of ports that were not filtered before. */
  readonly filtered: readonly Prefix[];
  /** Everything in it was looked at before. */
  readonly isSecondLook: boolean;
}

const NOTHING: Scope = { isAll: false, prefixes: [], gone: [], filtered: [], isSecondLook: true };

export class Sweeper {
  #next: Scope = NOTHING;
  #secondLook: Scope = NOTHING;
  /** Calls off the second look; undefined where none is due. */
  #callOff: (() => void) | undefined;
  readonly #sweeping = new SingleFlight(
    async () => this.#run(),
    () => this.#hasWork(),
  );
  #isStopped = false;
  /** Revoked by the last look. */
  #revoked: ReadonlySet<string> = new Set();
  /** Flows that carry our mark, as far as is known: without any, a permission that is granted needs no look. */
  #mayBeMarked = true;

  constructor(private readonly options: SweeperOptions) {}

  /** Looks at every flow of this host's ports. */
  all(): void {
    this.#request({ ...NOTHING, isAll: true, isSecondLook: false });
  }

  /** @param isGrowth true when the change took no permission away. */
  touched({ prefixes, gone, filtered }: Touched, isGrowth: boolean): void {
    if (prefixes.length + gone.length === 0 || (isGrowth && !this.#mayBeMarked)) return;
    this.#request({ isAll: false, prefixes, gone, filtered, isSecondLook: false });
  }

  /** True when every look that was asked for is done, second looks aside. */
  get hasLooked(): boolean {
    return !this.#sweeping.isRunning && isNothing(this.#next);
  }

  /**
   * Gives flows that are there before the rules the bits that these would have given them. At the first load alone: later,
   * a flow without bits is one that no port admitted.
   */
  async seed(): Promise<void> {
    await seedFlows(this.options);
  }

  stop(): void {
    this.#isStopped = true;
    this.#callOff?.();
  }

  #request(scope: Scope): void {
    this.#next = merged(this.#next, scope);
    this.#sweeping.start();
  }

  #hasWork(): boolean {
    return !this.#isStopped && !isNothing(this.#next);
  }

  async #run(): Promise<void> {
    while (this.#hasWork()) {
      const scope = this.#next;
      this.#next = NOTHING;
      try {
        const revoked = await this.#sweep(scope);
        // A packet that was under way may have written the mark as it had read it: what was revoked again is looked at again.
        if (!scope.isSecondLook || revoked > 0) this.#lookAgain(scope);
      } catch (error) {
        this.#report(error);
        this.#next = merged(this.#next, scope);
        await this.options.clock.sleep(SECOND_LOOK_MS);
      }
    }
  }

  /** A dump that the end of the agent interrupted is no failure. */
  #report(error: unknown): void {
    if (!this.#isStopped) this.options.onError(error);
  }

  /** A flow with somebody's mark and none of our bits that the rules would have admitted, or that was revoked a moment ago. */
  #isOfPort(flow: Flow, check: AdmissionCheck): boolean {
    return this.#revoked.has(identityOf(flow)) || check.bitsFor(flow) !== 0;
  }

  #lookAgain(scope: Scope): void {
    this.#secondLook = merged(this.#secondLook, scope);
    this.#callOff ??= this.options.clock.after(SECOND_LOOK_MS, () => {
      this.#callOff = undefined;
      const again = { ...this.#secondLook, isSecondLook: true };
      this.#secondLook = NOTHING;
      this.#request(again);
    });
  }

  /** @returns how many flows it revoked. */
  async #sweep(scope: Scope): Promise<number> {
    const { conntrack, clock, compiler, bits, widestPairLength, onResult } = this.options;
    const { revoked: revokedMark } = bits;
    if (scope.filtered.length > 0) await seedFlows(this.options, scope.filtered);
    const startedAt = clock.now();
    const flows = await conntrack.flows(filterOf(scope, compiler.localPorts()));
    const check = new AdmissionCheck(compiler, bits, widestPairLength);
    const toForget = new Map<number, Flow[]>();
    const [toRevoke, toRestore]: [Flow[], Flow[]] = [[], []];
    let [marked, overwritten] = [0, 0];
    const any = bits.originator | bits.responder | bits.revoked;
    for (const [index, flow] of flows.entries()) {
      if (index % AT_ONCE === AT_ONCE - 1) await setImmediate();
      const isMarked = (flow.mark & revokedMark) !== 0;
      const admission = check.judge(flow);
      if (flow.mark !== 0 && (flow.mark & any) === 0 && this.#isOfPort(flow, check)) overwritten++;
      const absent = check.absent(flow, scope.gone);
      const refused = isRefused(admission, absent);
      if (refused && !isMarked) toRevoke.push(flow);
      if (admission === 'admitted' && isMarked) toRestore.push(flow);
      // The other end may go on: with whom the address has now, too.
      if (admission === 'admitted' && absent !== 0) put(toForget, absent, flow);
      if (refused || (isMarked && admission !== 'admitted')) marked++;
    }
    for (const [absent, some] of toForget) await conntrack.mark(some, absent, false);
    const revoked = await conntrack.mark(toRevoke, revokedMark, true);
    const restored = await conntrack.mark(toRestore, revokedMark, false);
    this.#revoked = new Set(toRevoke.map(identityOf));
    if (overwritten > 0) this.options.onOverwritten(overwritten);
    if (scope.isAll) this.#mayBeMarked = marked > 0;
    else if (revoked > 0) this.#mayBeMarked = true;
    onResult({ revoked, restored, looked: flows.length, milliseconds: clock.now() - startedAt });
    return revoked;
  }
}

/**
 * Gives flows without our bits those that the rules would have given them, had these been there when the flows began.
 * @param among their addresses; absent for those of every port.
 * @returns how many flows got some.
 */
export async function seedFlows(
  {
    conntrack,
    compiler,
    bits,
    widestPairLength,
  }: Pick<SweeperOptions, 'conntrack' | 'compiler' | 'bits' | 'widestPairLength'>,
  among?: readonly Prefix[],
): Promise<number> {
  const scope = among === undefined ? { ...NOTHING, isAll: true } : { ...NOTHING, prefixes: among };
  const any = bits.originator | bits.responder | bits.revoked;
  const flows = (await conntrack.flows(filterOf(scope, compiler.localPorts()))).filter(
    ({ mark }) => (mark & any) === 0,
  );
  const check = new AdmissionCheck(compiler, bits, widestPairLength);
  const byBits = new Map<number, Flow[]>();
  for (const [index, flow] of flows.entries()) {
    if (index % AT_ONCE === AT_ONCE - 1) await setImmediate();
    const wanted = check.bitsFor(flow);
    if (wanted === 0) continue;
    put(byBits, wanted, flow);
  }
  let seeded = 0;
  for (const [wanted, some] of byBits) seeded += await conntrack.mark(some, wanted, true);
  return seeded;
}

/** A flow that no end admits; one that a port of this host admitted which is there no more. */
function isRefused(admission: Admission, absent: number): boolean {
  return admission === 'refused' || (admission === 'elsewhere' && absent !== 0);
}

/**
 * Flows that a look at all of them would cut now. Nothing is marked.
 * @param ports of this host.
 * @param gone addresses of ports that go.
 * @param makeCompiler is asked where there is a flow to be judged.
 */
export async function flowsToCut(
  conntrack: Pick<Conntrack, 'flows'>,
  { bits, widestPairLength }: Pick<SweeperOptions, 'bits' | 'widestPairLength'>,
  ports: Iterable<Port>,
  gone: readonly Prefix[],
  makeCompiler: () => HostCompiler,
): Promise<readonly Flow[]> {
  const isAdmitted = ({ mark }: Flow): boolean =>
    (mark & (bits.originator | bits.responder)) !== 0 && (mark & bits.revoked) === 0;
  const flows = (await conntrack.flows(filterOf({ ...NOTHING, isAll: true, gone }, ports))).filter(isAdmitted);
  if (flows.length === 0) return [];
  const check = new AdmissionCheck(makeCompiler(), bits, widestPairLength);
  return flows.filter((flow) => isRefused(check.judge(flow), check.absent(flow, gone)));
}

function put(byBits: Map<number, Flow[]>, bits: number, flow: Flow): void {
  const same = byBits.get(bits);
  if (same === undefined) byBits.set(bits, [flow]);
  else same.push(flow);
}

function identityOf({ zone, identity }: Flow): string {
  return `${zone.toString()} ${identity.toString('latin1')}`;
}

function merged(a: Scope, b: Scope): Scope {
  return {
    isAll: a.isAll || b.isAll,
    prefixes: [...a.prefixes, ...b.prefixes],
    gone: [...a.gone, ...b.gone],
    filtered: [...a.filtered, ...b.filtered],
    isSecondLook: a.isSecondLook && b.isSecondLook,
  };
}

function isNothing({ isAll, prefixes, gone }: Scope): boolean {
  return !isAll && prefixes.length + gone.length === 0;
}

/** Asked of each address of hundreds of thousands of flows: exact ones are a look-up, prefixes are few. */
function filterOf(scope: Scope, ports: Iterable<Port>): (address: AddressKey) => boolean {
  const own = scope.isAll ? [...ports].flatMap(sourcePrefixes) : [];
  const all = [...scope.prefixes, ...scope.gone, ...own];
  const exact = new Set(all.filter(isExact).map(addressKey));
  const wide = all.filter((prefix) => !isExact(prefix)).map(rangeOf);
  return (address) =>
    exact.has(address) ||
    wide.some(({ first, last }) => typeof address === typeof first && address >= first && address <= last);
}

/** Keys compare as their addresses do: numbers by value, texts of one length byte by byte. */
function rangeOf(prefix: Prefix): { readonly first: AddressKey; readonly last: AddressKey } {
  const bits = prefix.family === 'IPv4' ? 32 : 128;
  const size = 1n << BigInt(bits - prefix.length);
  const exact = (network: bigint): AddressKey => addressKey({ ...prefix, network });
  return { first: exact(prefix.network), last: exact(prefix.network + size - 1n) };
}
