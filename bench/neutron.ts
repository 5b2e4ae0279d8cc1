/**
 * `npm run bench`, a part of its own: the same work by Neutron's own driver for Linux bridges (Debian's python3-neutron), and by an agent's
 * loop with its watching process. See bench/README.md.
 */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PYTHON } from '../test/support/python.js';
import { Answering } from './answering.js';
import { many, objects, TRAFFIC } from './dataplane/topologies.js';
import { median, type Fields } from './document.js';
import { DRIVER, NO_NEUTRON } from './neutron/driver.js';
import { IS_QUICK, say, Table } from './report.js';
import { parsed, Subject } from './subject.js';

const SIZES = IS_QUICK ? [100] : [100, 1000];
const RUNS = IS_QUICK ? 3 : 5;
/** Beside one of Neutron's, ours are made as often as this: they take a thousandth. */
const OURS = 4;

type Operation = 'load' | 'port' | 'rule' | 'member';

const NAMES: Readonly<Record<Operation, string>> = {
  load: 'everything, where there is nothing',
  port: 'one port more',
  rule: 'one rule more in a group that all ports have',
  member: 'one address more in a group that the rules of all ports name',
};
const CHANGES = ['port', 'rule', 'member'] as const;

/** Neutron's, in a network namespace of its own, one operation when it is asked. */
class Neutron {
  readonly #driver: Answering;

  constructor(file: string) {
    this.#driver = new Answering(spawn('unshare', ['-n', PYTHON, DRIVER, file], { stdio: ['pipe', 'pipe', 'ignore'] }));
  }

  /** @returns milliseconds */
  async do(operation: Operation): Promise<number> {
    const { seconds } = (await this.#driver.ask(operation)) as { readonly seconds: number };
    return 1000 * seconds;
  }

  end(): void {
    this.#driver.end();
  }
}

/** The topology with one thing more. @param run another one each time */
function changed(base: Fields, what: (typeof CHANGES)[number], run: number): Fields {
  const ports = objects(base, 'ports');
  const [first = {}] = ports;
  const more = {
    ...first,
    id: `new${run.toString().padStart(5, '0')}-port`,
    mac_address: 'fa:16:3f:00:00:01',
    fixed_ips: [{ ip_address: `10.255.0.${(run + 1).toString()}` }],
  };
  switch (what) {
    case 'port':
      return { ...base, ports: [...ports, more] };
    case 'member':
      // On another host: what is measured is the member, not the port.
      return { ...base, ports: [...ports, { ...more, 'binding:host_id': 'elsewhere', security_groups: [TRAFFIC] }] };
    case 'rule': {
      const [from, direction] = [40_000 + run, 'ingress'];
      const rule = {
        id: `new-${run.toString()}`,
        direction,
        protocol: 'tcp',
        port_range_min: from,
        port_range_max: from,
      };
      const groups = objects(base, 'security_groups').map((group) =>
        group['id'] === TRAFFIC
          ? { ...group, security_group_rules: [...objects(group, 'security_group_rules'), rule] }
          : group,
      );
      return { ...base, security_groups: groups };
    }
  }
}

/** Ours is everything, then a change and back. */
async function compare(size: number, folder: string, table: Table): Promise<void> {
  const base = many(size);
  const file = join(folder, `${size.toString()}.json`);
  writeFileSync(file, JSON.stringify(base));
  const topology = parsed({ ...base });
  const times = (): { neutron: number[]; ours: number[] } => ({ neutron: [], ours: [] });
  const found: Record<Operation, ReturnType<typeof times>> = {
    load: times(),
    port: times(),
    rule: times(),
    member: times(),
  };
  let neutron: Neutron | undefined;
  let subject: Subject | undefined;
  for (let run = 0; run < RUNS; run++) {
    neutron?.end();
    await subject?.end();
    spawnSync('nft', ['flush', 'ruleset']);
    neutron = new Neutron(file);
    found.load.neutron.push(await neutron.do('load'));
    subject = new Subject('nftables');
    found.load.ours.push(await subject.begin(topology));
    for (const what of CHANGES) {
      found[what].neutron.push(await neutron.do(what));
      for (let ours = 0; ours < OURS; ours++) {
        found[what].ours.push((await subject.change(parsed({ ...changed(base, what, OURS * run + ours) }))).total);
        await subject.change(topology);
      }
    }
  }
  neutron?.end();
  await subject?.end();
  for (const what of ['load', ...CHANGES] as const) {
    const [theirs, ours] = [median(found[what].neutron), median(found[what].ours)];
    table.row(size, NAMES[what], theirs, ours, theirs / ours);
  }
}

async function inside(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-bench-'));
  const table = new Table("beside Neutron's own driver", [
    { name: 'ports' },
    { name: 'what' },
    { name: "Neutron's driver", unit: 'ms' },
    { name: 'ours', unit: 'ms', digits: 2 },
    { name: 'Neutron / ours' },
  ]);
  try {
    for (const size of SIZES) await compare(size, folder, table);
  } finally {
    rmSync(folder, { recursive: true });
  }
  process.exit(0);
}

if (process.argv[2] === 'inside') await inside();
else if (NO_NEUTRON !== undefined) say(`neutron: not run: ${NO_NEUTRON}`);
else if (process.getuid?.() !== 0) say('neutron: not run: it needs root, for a network namespace');
else {
  const args = ['-n', process.execPath, fileURLToPath(import.meta.url), 'inside', ...process.argv.slice(2)];
  process.exit(spawnSync('unshare', args, { stdio: 'inherit' }).status ?? 1);
}
