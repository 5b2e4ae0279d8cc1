/** What `portcullis explain` does: would a packet pass, or which of many, and which rule decides? */
import {
  explain,
  explainSet,
  onlyEnd,
  rangeTexts,
  renderExplanation,
  renderSet,
  serviceTexts,
  TooManyCases,
  type Ends,
  type Explanation,
  type ServiceSet,
  type SetExplanation,
} from '../../../compiler/explain/index.js';
import type { JudgeContext } from '../../../compiler/semantics/index.js';
import { overlapsByHost, overlapText } from '../../../compiler/index.js';
import { DEFAULT_OPTIONS } from '../../../compiler/options.js';
import { FAMILIES, type Family, type FlowState, type Topology } from '../../../compiler/model/index.js';
import { CommandError } from '../errors.js';
import { EXIT } from '../exit-codes.js';
import { endNamed, familiesOf, type Named } from '../explain-ends.js';
import { onlyTransport, servicesOf, type ServiceArguments } from '../explain-services.js';
import { colours, printLine, say } from '../output.js';
import { topologyOf, type TopologySourceArguments } from '../topology-source.js';

export interface ExplainArguments extends TopologySourceArguments, ServiceArguments {
  readonly from: string;
  readonly to: string;
  readonly family: Family | undefined;
  readonly state: FlowState;
  readonly json: boolean;
}

/** Prints whether a packet passes, or which of many. */
export async function explainOnce(args: ExplainArguments): Promise<void> {
  // What is wrong with the words is said before anything is read.
  for (const family of FAMILIES) servicesOf(args, family);
  const topology = await topologyOf(args);
  const [from, to] = [endNamed(topology, args.from, '--from'), endNamed(topology, args.to, '--to')];
  for (const named of [from, to]) refuseClosed(named);
  if (!args.json) sayOverlaps(topology, [from, to]);
  const context = { topology, widestPairLength: DEFAULT_OPTIONS.widestPairLength };
  const answers = familiesOf(from, to, args.family).map((pair) =>
    answered(context, pair.from, pair.to, servicesOf(args, pair.family), args),
  );
  if (args.json)
    printLine(
      JSON.stringify(
        answers.map(({ json }) => json),
        null,
        2,
      ),
    );
  else for (const line of answers.flatMap(({ lines }) => lines())) printLine(line);
  if (answers.some(({ json }) => json.verdict !== 'accept')) process.exitCode = EXIT.dropped;
}

function refuseClosed(named: Named): void {
  if (named.kind !== 'port' || named.port.filtering !== 'closed') return;
  throw new CommandError(EXIT.dropped, `port ${named.port.id} is not valid, and closed: nothing passes`);
}

/** Addresses of either end that another network's port has, too, by which the state of flows is kept apart. */
function sayOverlaps(topology: Topology, ends: readonly Named[]): void {
  for (const overlaps of overlapsByHost(topology.ports.values()).values()) {
    for (const overlap of overlaps) {
      const concerns = ends.some((named) => {
        if (named.kind === 'address') return named.address.text === overlap.address;
        if (named.kind !== 'port') return false;
        return (
          named.port.id === overlap.holder?.id ||
          named.address?.text === overlap.address ||
          named.port.fixedIps.some(({ text }) => text === overlap.address)
        );
      });
      if (concerns) say(`notice: ${overlapText(overlap)}`);
    }
  }
}

interface Answer {
  readonly json: Explanation | SetAnswer;
  readonly lines: () => readonly string[];
}

/** {@link SetExplanation} as it is printed as JSON: ranges and services as they are typed. */
interface SetAnswer {
  readonly family: Family;
  readonly from: string;
  readonly to: string;
  readonly services: string;
  readonly verdict: SetExplanation['verdict'];
  readonly parts: readonly object[];
}

const paint = { good: colours.green, bad: colours.red, dim: colours.dim };

function answered(
  context: JudgeContext,
  from: Ends,
  to: Ends,
  services: readonly ServiceSet[],
  args: ExplainArguments,
): Answer {
  const [sender, receiver, transport] = [onlyEnd(from), onlyEnd(to), onlyTransport(services)];
  if (sender !== undefined && receiver !== undefined && transport !== undefined) {
    const explanation = explain(context, sender, receiver, transport, args.state);
    return { json: explanation, lines: () => renderExplanation(explanation, paint) };
  }
  const explanation = explained(context, { from, to, services }, args.state);
  const asked = {
    from: sender?.address.text ?? args.from,
    to: receiver?.address.text ?? args.to,
    services: args.protocol === 'any' ? 'any protocol' : serviceTexts(services).join(', '),
  };
  const { family, verdict } = explanation;
  const parts = explanation.parts.map((part) => ({
    verdict: part.verdict,
    halves: part.halves.map(({ direction, reason, because, rule }) => ({ direction, reason, because, rule })),
    packets: part.packets.map((box) => ({
      from: rangeTexts(family, box.from),
      to: rangeTexts(family, box.to),
      services: serviceTexts(box.services),
    })),
  }));
  return { json: { family, ...asked, verdict, parts }, lines: () => renderSet(explanation, asked, paint) };
}

function explained(...question: Parameters<typeof explainSet>): SetExplanation {
  try {
    return explainSet(...question);
  } catch (error) {
    if (!(error instanceof TooManyCases)) throw error;
    throw new CommandError(EXIT.invalidInput, `${error.message}: narrow --from, --to or --protocol`);
  }
}
