/** `npm start`: the worked example, with real connections where that is possible. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { parseDocument } from 'yaml';
import { programPath } from '../../../agent/programs.js';
import { reachability } from '../../../compiler/explain/index.js';
import { DEFAULT_OPTIONS } from '../../../compiler/index.js';
import { FAMILIES, type Family, type Port, type Topology } from '../../../compiler/model/index.js';
import { loadTopology } from '../../sources/file/index.js';
import { colours, printLine, sayError, sayProblems } from '../output.js';
import { Guests } from './guests.js';
import { Network, run } from './network.js';

const EXAMPLE = 'examples/web-and-database.yaml';
const HOST = 'compute-1';
const SERVICES: readonly { readonly name: string; readonly port: number }[] = [
  { name: 'ssh', port: 22 },
  { name: 'http', port: 80 },
  { name: 'https', port: 443 },
  { name: 'mysql', port: 3306 },
];

/** A throw-away host, and a guest for each port. */
class Demo {
  readonly network = new Network('pcdemo-');
  readonly guests = new Guests(SERVICES.map(({ port }) => port));

  async plug(port: Port): Promise<void> {
    await this.guests.start(port.id, this.network.plug(port));
  }

  /** Runs this program's own command line in the host's namespace; returns what it printed. */
  portcullis(...args: readonly string[]): string {
    const program = programPath('portcullis');
    return run('ip', ['netns', 'exec', this.network.host, process.execPath, program, ...args]);
  }

  end(): void {
    this.guests.end();
    this.network.remove();
  }
}

type Reached = (from: Port, to: Port, service: number, family: Family) => boolean;

async function topologyOf(path: string): Promise<Topology> {
  const { topology, problems } = await loadTopology(path);
  sayProblems(problems);
  return topology;
}

function portsOf(topology: Topology): readonly Port[] {
  return [...topology.ports.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

function policyOf(topology: Topology): Reached {
  const context = { topology, widestPairLength: DEFAULT_OPTIONS.widestPairLength };
  return (from, to, service, family) => reachability(context, from, to, 6, service, family);
}

/** What stops real packets here; undefined when nothing does. */
function obstacle(): string | undefined {
  if (process.platform !== 'linux') return 'this is not Linux';
  if (process.getuid?.() !== 0) return 'this is not root';
  for (const program of ['ip', 'nft']) {
    if (spawnSync(program, ['-V']).error !== undefined) return `the program ${program} is missing`;
  }
  return undefined;
}

async function main(): Promise<void> {
  printLine(colours.bold('Three web servers, two databases, an outsider (examples/web-and-database.yaml)'));
  printLine(
    'Group web: HTTP and HTTPS from anywhere. Group database: MySQL from whoever has group web. Nothing else comes in.',
  );
  const topology = await topologyOf(EXAMPLE);
  const why = obstacle();
  if (why !== undefined) {
    onPaper(topology, why);
    return;
  }
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-demo-'));
  const demo = new Demo();
  const end = (): void => {
    demo.end();
    rmSync(folder, { recursive: true, force: true });
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      end();
      process.exit(130);
    });
  }
  try {
    await withPackets(demo, topology, folder);
  } catch (error) {
    // Ctrl-C reaches our children, too: let the handler above run before their end is reported as a failure.
    await setTimeout(50);
    sayError(error instanceof Error ? error.message : String(error));
    process.exitCode = 1;
  } finally {
    end();
  }
}

function onPaper(topology: Topology, why: string): void {
  printLine(`${colours.yellow('No packets are sent:')} ${why}. What would be loaded, and what the policy says:\n`);
  spawnSync(process.execPath, [programPath('portcullis'), 'compile', '--dry-run', '-t', EXAMPLE], { stdio: 'inherit' });
  printMatrix(portsOf(topology), policyOf(topology), undefined);
}

async function withPackets(demo: Demo, topology: Topology, folder: string): Promise<void> {
  printLine('\nBuilding a throw-away host, and a network namespace with a tap-like device for each port ...');
  for (const port of portsOf(topology)) await demo.plug(port);
  printLine(`Loading the rules: portcullis compile -t ${EXAMPLE} --host ${HOST}`);
  demo.portcullis('compile', '-t', EXAMPLE, '--host', HOST);
  let wrong = printMatrix(portsOf(topology), policyOf(topology), await realReach(demo, portsOf(topology)));

  printLine(`\n${colours.bold('A fourth web server joins the group.')} No rule is touched:`);
  const grown = join(folder, 'topology.yaml');
  writeFileSync(grown, withFourthServer(readFileSync(EXAMPLE, 'utf8')));
  const larger = await topologyOf(grown);
  const added = portsOf(larger).find((port) => !topology.ports.has(port.id));
  if (added === undefined) throw new Error('the fourth web server is missing');
  await demo.plug(added);
  printLine(demo.portcullis('compile', '-t', grown, '--host', HOST).trimEnd());
  const databases = portsOf(larger).filter((port) => port.name.startsWith('database'));
  wrong += printMatrix([added, ...databases], policyOf(larger), await realReach(demo, [added, ...databases]));
  printLine(
    wrong === 0
      ? colours.green('\nEvery connection went as the policy says.')
      : colours.red(`\n${wrong.toString()} connections did not go as the policy says.`),
  );
  if (wrong > 0) process.exitCode = 1;
}

/** The example's text with one port more: web-4 in group web. */
function withFourthServer(text: string): string {
  const document = parseDocument(text);
  document.addIn(['ports'], {
    id: 'a1000004-4000-4000-8000-000000000001',
    name: 'web-4',
    project_id: '5669caad86a04256994cdf755df4d3c1',
    network_id: '5b6f3a52-0a7e-4a0e-9d4b-7f6f2f8e0c01',
    mac_address: 'fa:16:3e:00:00:0e',
    fixed_ips: [{ ip_address: '10.0.0.14' }, { ip_address: 'fd00:0:0:1::14' }],
    security_groups: ['web'],
    'binding:host_id': HOST,
  });
  return document.toString();
}

/** Connects everybody with everybody. */
async function realReach(demo: Demo, ports: readonly Port[]): Promise<Reached> {
  const reached = new Set<string>();
  await Promise.all(
    ports.map(async (from) => {
      const attempts = ports
        .filter((to) => to !== from)
        .flatMap((to) => FAMILIES.flatMap((family) => SERVICES.map(({ port }) => ({ to, family, port }))));
      const targets = attempts.map(({ to, family, port }) => ({
        address: to.fixedIps.find((address) => address.family === family)?.text ?? '',
        port,
      }));
      const results = await demo.guests.connect(from.id, targets);
      attempts.forEach(({ to, family, port }, index) => {
        if (results[index] === true) reached.add([from.id, to.id, port, family].join(' '));
      });
    }),
  );
  return (from, to, service, family) => reached.has([from.id, to.id, service, family].join(' '));
}

/** Prints who reaches whom; returns how many cells differ from the policy. */
function printMatrix(ports: readonly Port[], policy: Reached, real: Reached | undefined): number {
  let wrong = 0;
  const names = ports.map(({ name }) => name);
  for (const family of FAMILIES) {
    const rows = ports.map((from) =>
      ports.map((to) => {
        if (to === from) return '-';
        const words = SERVICES.flatMap(({ name, port }) => {
          const expected = policy(from, to, port, family);
          const actual = real === undefined ? expected : real(from, to, port, family);
          if (actual === expected) return actual ? [name] : [];
          wrong++;
          return [actual ? `${name}!` : `no ${name}!`];
        });
        return words.length === 0 ? '.' : words.join(' ');
      }),
    );
    const width = Math.max(...[...names, ...rows.flat()].map(({ length }) => length)) + 2;
    const line = (cells: readonly string[], paint: (cell: string) => string): string =>
      cells.map((cell, column) => paint(column === cells.length - 1 ? cell : cell.padEnd(width))).join('');
    printLine(
      `\n${colours.bold(family)}: services that ${real === undefined ? 'the policy lets' : 'really got'} through, from (row) to (column)${real === undefined ? '' : '; "!" marks a difference from the policy'}`,
    );
    printLine(line(['', ...names], (cell) => cell));
    for (const [index, cells] of rows.entries()) {
      printLine(
        line([names[index] ?? '', ...cells], (cell) => (cell.includes('!') ? colours.red(cell) : colours.green(cell))),
      );
    }
  }
  return wrong;
}

await main();
