/** docs/deploy.md, block by block as it stands, on machines with systemd; and what packets do meanwhile. */
import { Network, type StartedNetwork } from 'testcontainers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readFileSync } from 'node:fs';
import { until } from '../support/waiting.js';
import { Machine } from './lab/machine.js';
import { readManual, type Block } from './lab/manual.js';

const PAGE = 'docs/deploy.md';
const THREE = ['node-1', 'node-2', 'node-3'];
const NAMES = [...THREE, 'node-4'];
const SERVICES = [80, 3306];
/** Where the page has it. */
const AUTHORITY = '/root/authority';
const ASK = `. ${AUTHORITY}/openrc && portcullis`;
const OF_API = `--api https://node-1:9696 --token-file ${AUTHORITY}/token`;
const CLIENT = `. ${AUTHORITY}/openrc && openstack`;

/** Guests of the page, by where they are; `web` may speak to `web` over HTTP, and nobody to anybody else. */
interface Guest {
  readonly name: string;
  readonly node: string;
  readonly address: string;
}
const WEB: readonly Guest[] = [
  { name: 'web-node-1', node: 'node-1', address: '10.9.0.11' },
  { name: 'web-node-2', node: 'node-2', address: '10.9.0.12' },
  { name: 'web-node-3', node: 'node-3', address: '10.9.0.13' },
];
const FOURTH: Guest = { name: 'web-node-4', node: 'node-4', address: '10.9.0.14' };
const OTHER: Guest = { name: 'other-node-1', node: 'node-1', address: '10.9.0.21' };
const GUESTS = [...WEB, FOURTH, OTHER];

let network: StartedNetwork | undefined;
const machines = new Map<string, Machine>();
const sections = readManual(PAGE);
const followed = new Set<Block>();

beforeAll(async () => {
  const image = process.env['PORTCULLIS_BASE_IMAGE'];
  if (image === undefined) throw new Error('PORTCULLIS_BASE_IMAGE is not set: run `npm test -- --tier container`');
  const own = await new Network().start();
  network = own;
  const started = await Promise.allSettled(NAMES.map(async (name) => Machine.start(image, own, name)));
  for (const one of started) if (one.status === 'fulfilled') machines.set(one.value.name, one.value);
  for (const one of started) if (one.status === 'rejected') throw one.reason;
  await beforeYouBegin();
}, 0);

afterAll(async () => {
  await Promise.allSettled([...machines.values()].map(async (one) => one.stop()));
  await network?.stop();
}, 0);

/** What the page asks its reader to have. */
async function beforeYouBegin(): Promise<void> {
  const first = machine('node-1');
  const key = await first.run(
    `mkdir -p -m 0700 /root/.ssh && ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id && cat /root/.ssh/id.pub`,
  );
  await first.run(
    `printf 'IdentityFile /root/.ssh/id\nStrictHostKeyChecking accept-new\nLogLevel ERROR\n' > /root/.ssh/config`,
  );
  await onEach(
    // A container gives PAM no session.
    `mkdir -p -m 0700 /root/.ssh && echo '${key.trim()}' > /root/.ssh/authorized_keys && echo 'UsePAM no' > /etc/ssh/sshd_config.d/test.conf && systemctl restart ssh`,
  );
  await first.clone('/usr/local/src/portcullis');
  // No registry is reached from here: the image has what the lock file names.
  await first.run(`echo offline=true > /root/.npmrc`);
}

function machine(name: string): Machine {
  const found = machines.get(name);
  if (found === undefined) throw new Error(`no machine is called ${name}`);
  return found;
}

async function onEach(command: string, names = NAMES): Promise<readonly string[]> {
  return Promise.all(names.map(async (name) => machine(name).run(command)));
}

const first = {
  run: async (command: string): Promise<string> => machine('node-1').run(command),
  tell: async (command: string) => machine('node-1').tell(command),
};

/** Does what a section says, and nothing else. @returns what the blocks printed, in their order */
async function follow(heading: string): Promise<string> {
  const section = sections.find((one) => one.heading === heading);
  if (section === undefined) throw new Error(`${PAGE} has no section "${heading}"`);
  let output = '';
  for (const block of section.blocks) {
    const names = block.machines.includes('every') ? THREE : block.machines;
    const printed = await Promise.all(names.map(async (name) => machine(name).paste(block.text, block.place)));
    output += printed.join('');
    followed.add(block);
  }
  return output;
}

/** What connects between guests, by really connecting: `from to service`. */
async function reached(guests: readonly Guest[]): Promise<readonly string[]> {
  const lines = await Promise.all(
    guests.map(async (from) => {
      const attempts = guests
        .filter((to) => to !== from)
        .flatMap((to) =>
          SERVICES.map(
            (port) =>
              `(timeout 2 bash -c '</dev/tcp/${to.address}/${port}' 2> /dev/null && echo ${from.name} ${to.name} ${port}) &`,
          ),
        );
      const script = `${attempts.join('\n')}\nwait`;
      const { output } = await machine(from.node).tell(`ip netns exec guest-${from.name} bash <<'END'\n${script}\nEND`);
      return output.split('\n').filter((line) => line !== '');
    }),
  );
  return lines.flat().sort();
}

function allowed(web: readonly Guest[]): readonly string[] {
  return web.flatMap((from) => web.filter((to) => to !== from).map((to) => `${from.name} ${to.name} 80`)).sort();
}

/** Waits until what policy allows connects; what it does not must not connect once. */
async function untilAllowed(web: readonly Guest[], others: readonly Guest[]): Promise<void> {
  const policy = allowed(web);
  await until({
    what: 'what policy allows to connect',
    probe: async () => {
      const real = await reached([...web, ...others]);
      const forbidden = real.filter((line) => !policy.includes(line));
      if (forbidden.length > 0) throw new Error(`connected against the policy:\n${forbidden.join('\n')}`);
      return real;
    },
    check: (real) => expect(real).toEqual(policy),
    said: () => '',
  });
}

/** Waits until only that connects which policy allows, too; what it does not may until then. */
async function untilOnlyAllowed(web: readonly Guest[], others: readonly Guest[]): Promise<void> {
  await until({
    what: 'only what policy allows to connect',
    probe: async () => reached([...web, ...others]),
    check: (real) => expect(real).toEqual(allowed(web)),
    said: () => '',
  });
}

async function untilHosts(what: string, pattern: RegExp): Promise<void> {
  await until({
    what,
    probe: async () => first.tell(`${ASK} hosts ${OF_API}`),
    check: ({ exit, output }) => expect([exit, output]).toEqual([0, expect.stringMatching(pattern)]),
    said: () => '',
  });
}

/** etcdctl with a host's certificate, at another machine's member. */
const asHost = (...args: readonly string[]): string =>
  `ETCDCTL_API=3 etcdctl --endpoints=https://node-2:2379 --cacert=/etc/portcullis/ca.pem --cert=/etc/portcullis/host.pem --key=/etc/portcullis/host-key.pem ${args.join(' ')}`;

/** Plugs one guest, as the page has it for all of them, and routes to it and from where it is. */
async function plug(guest: Guest): Promise<void> {
  const shown = await first.run(`${CLIENT} port show ${guest.name} -f value -c id -c mac_address`);
  const [id = '', mac = ''] = shown.trim().split('\n');
  await machine(guest.node).run(`/usr/local/lib/portcullis/examples/plug ${guest.name} ${id} ${mac} ${guest.address}`);
  for (const node of NAMES) {
    const elsewhere = node === guest.node ? GUESTS.filter((one) => one.node !== node) : [guest];
    const routes = elsewhere.map(
      (one) => `ip route replace ${one.address} via "$(getent ahostsv4 ${one.node} | awk 'NR == 1 { print $1 }')"`,
    );
    await machine(node).run(routes.join(' && '));
  }
}

// No limit to the whole: each wait has its own.
describe('from three machines to an enforcing cluster', () => {
  it('the programs', async () => {
    expect(await follow('The programs')).toContain(
      (JSON.parse(readFileSync('package.json', 'utf8')) as { readonly version: string }).version,
    );
  });

  it('certificates, whose keys nobody else may read', async () => {
    await follow('Certificates');
    expect(await machine('node-2').run(`stat -c '%n %U %a' /etc/etcd/*key.pem /etc/portcullis/*key.pem`)).toBe(
      [
        '/etc/etcd/member-key.pem etcd 600',
        '/etc/portcullis/api-key.pem portcullis 600',
        '/etc/portcullis/host-key.pem root 600',
        '/etc/portcullis/store-key.pem portcullis 600\n',
      ].join('\n'),
    );
  });

  it('etcd, of three members', async () => {
    expect(await follow('etcd')).toMatch(/Authentication Enabled/);
  });

  it('the control API, by a user without rights', async () => {
    await follow('The control API');
    const [status = ''] = await onEach(
      'grep -E "^Uid|CapEff|NoNewPrivs|Seccomp:" /proc/$(systemctl show -p MainPID --value portcullis-api)/status && id -u portcullis',
      ['node-2'],
    );
    const [, uid = '', own = ''] =
      /^Uid: (\d+) .*CapEff: 0+ NoNewPrivs: 1 Seccomp: 2 (\d+)$/.exec(status.replaceAll(/\s+/g, ' ').trim()) ?? [];
    expect([uid, Number(uid) > 0]).toEqual([own, true]);
  });

  it('hosts, which enforce before there is anything', async () => {
    expect((await follow('The hosts')).match(/^enforced/gm)).toHaveLength(3);
  });

  it('the first network, in force on all three', async () => {
    const output = await follow('The first network');
    for (const name of THREE) expect(output).toMatch(new RegExp(`^${name}  in force`, 'm'));
  });

  it('taps, of which each admits what the rule admits and nothing else', async () => {
    const output = await follow('A tap');
    for (const line of [
      'HTTP: passes',
      'another port: does not',
      'an outsider, HTTP: does not',
      'any more: does not pass',
    ])
      expect(output).toContain(line);
    await untilAllowed(WEB, [OTHER]);
  });

  it('a host’s certificate reads its own ports and nobody else’s, and is no member’s', async () => {
    const own = await first.run(asHost('get', '--prefix', '--keys-only', '/portcullis/view/hosts/node-1/'));
    expect(own).toMatch(/hosts\/node-1\/port\//);
    for (const args of [
      ['get', '--prefix', '/portcullis/view/hosts/node-2/'],
      ['get', '--prefix', '/portcullis/'],
      ['put', '/portcullis/view/hosts/node-1/port/x', '{}'],
      ['put', '/portcullis/reports/node-2', '{}'],
      ['user', 'list'],
    ]) {
      const { exit, output } = await first.tell(asHost(...args));
      expect([args, exit, output]).toEqual([args, 1, expect.stringMatching(/permission denied/)]);
    }
    const peer = (who: string): string =>
      `curl -sS --http1.1 --cacert /etc/portcullis/ca.pem --cert ${who}.pem --key ${who}-key.pem https://node-2:2380/version`;
    expect(await first.run(peer('/etc/etcd/member'))).toContain('etcdserver');
    const { exit, output } = await first.tell(peer('/etc/portcullis/host'));
    expect([exit, output]).toEqual([expect.any(Number), expect.not.stringContaining('etcdserver')]);
    expect(exit).not.toBe(0);
    expect((await first.tell('curl -sS -k https://node-2:2379/version')).exit).not.toBe(0);
  });

  it('without one machine a change reaches the others, and it comes back by itself', async () => {
    const [one, two, three] = WEB as [Guest, Guest, Guest];
    machine('node-2').pull();
    await first.run(`${CLIENT} port unset --security-group web ${one.name}`);
    await untilOnlyAllowed([three], [one, OTHER]);
    await first.run(`${CLIENT} port set --security-group web ${one.name}`);
    await untilAllowed([one, three], [OTHER]);
    await machine('node-2').boot();
    await untilHosts('the machine to have everything in force again', /^node-2 {2}in force/m);
    // Its guests went with it.
    await plug(two);
    await untilAllowed([one, two, three], [OTHER]);
  });

  it('one more host', async () => {
    await follow('One more host');
    await first.run(
      `${CLIENT} port create --network net --host node-4 --security-group web --fixed-ip ip-address=${FOURTH.address} ${FOURTH.name}`,
    );
    await plug(FOURTH);
    await untilAllowed([...WEB, FOURTH], [OTHER]);
  });

  it('new certificates, which are used', async () => {
    const shown = `(openssl s_client -connect node-2:2379 < /dev/null 2> /dev/null || true) | openssl x509 -noout -fingerprint`;
    const before = await first.run(shown);
    await follow('New certificates');
    const after = await first.run(shown);
    expect(after).not.toBe(before);
    expect(after).toBe(await machine('node-2').run('openssl x509 -noout -fingerprint -in /etc/etcd/member.pem'));
    await onEach('systemctl restart portcullis-agent', THREE);
    await untilHosts('the hosts to have everything in force', /^node-1 {2}in force/m);
    await untilAllowed([...WEB, FOURTH], [OTHER]);
  });

  it('a host goes, and its certificate is worth nothing', async () => {
    await first.run(`${CLIENT} port delete ${FOURTH.name}`);
    await machine('node-4').run(`/usr/local/lib/portcullis/examples/plug --remove ${FOURTH.name}`);
    await follow('A host goes');
    const { exit, output } = await machine('node-4').tell(asHost('get', '--prefix', '/portcullis/view/hosts/node-4/'));
    expect([exit, output]).toEqual([1, expect.stringMatching(/permission denied|user name not found/)]);
    await untilHosts('the hosts to be three', /^(?!.*node-4)node-1 {2}in force/s);
    await untilAllowed(WEB, [OTHER]);
  });

  it('a member of etcd is replaced', async () => {
    const output = await follow('A member of etcd is replaced');
    expect(output.match(/is healthy/g)).toHaveLength(3);
    await first.run(`${CLIENT} port unset --security-group web web-node-3`);
    await untilOnlyAllowed(WEB.slice(0, 2), [...WEB.slice(2), OTHER]);
  });

  it('nothing that the page has typed was left out', () => {
    const missed = sections.flatMap(({ blocks }) => blocks).filter((block) => !followed.has(block));
    expect(missed.map(({ place }) => place)).toEqual([]);
    // As somebody counts who does not read it as we do.
    expect(followed.size).toBe((readFileSync(PAGE, 'utf8').match(/```/g) ?? []).length / 2);
  });
});
