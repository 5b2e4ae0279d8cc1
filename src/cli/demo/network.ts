/** A throw-away network: a host that routes to guests, each in a namespace of its own. */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import type { Port } from '../../../compiler/model/index.js';

/** Every guest's router: link-local addresses that the host's devices share. */
const GATEWAY = { IPv4: '169.254.1.1', IPv6: 'fe80::1' };
const HOST_MAC = '02:00:00:00:00:01';

export class Network {
  readonly #name: string;
  readonly #namespaces: string[] = [];

  /**
   * @param prefix of the namespaces' names; those that a killed run of the same prefix left are removed.
   * @param where the host is: in a namespace of its own, or in the one that we are in, which forwards already
   */
  constructor(
    prefix: string,
    private readonly where: 'apart' | 'here' = 'apart',
  ) {
    removeLeftovers(prefix);
    this.#name = `${prefix}${process.pid.toString()}`;
    process.once('exit', this.remove);
    if (where === 'here') return;
    this.#addNamespace('host');
    this.#inHost(
      'sysctl',
      '-qw',
      'net.ipv4.ip_forward=1',
      'net.ipv6.conf.all.forwarding=1',
      'net.ipv6.conf.default.accept_dad=0',
    );
  }

  /** The host's namespace. */
  get host(): string {
    return `${this.#name}-host`;
  }

  /**
   * Plugs a port: a device on the host, a guest with the port's MAC and addresses at its other end.
   * @returns the guest's namespace
   */
  plug(port: Pick<Port, 'id' | 'device' | 'fixedIps'> & { readonly mac: string }): string {
    const guest = this.#addNamespace(port.id.slice(0, 8));
    const { device, fixedIps } = port;
    this.#ipInHost([
      `link add ${device} address ${HOST_MAC} type veth peer name eth0 address ${port.mac} netns ${guest}`,
      `address add ${GATEWAY.IPv4}/32 dev ${device}`,
      `link set ${device} up`,
    ]);
    runIp(guest, [
      'link set lo up',
      'link set eth0 up',
      ...fixedIps.flatMap(({ family, text }) => [
        `address add ${text} dev eth0${family === 'IPv6' ? ' nodad' : ''}`,
        `neighbour replace ${GATEWAY[family]} lladdr ${HOST_MAC} dev eth0`,
        `route add default via ${GATEWAY[family]} dev eth0${family === 'IPv4' ? ' onlink' : ''}`,
      ]),
    ]);
    this.#ipInHost(
      fixedIps.flatMap(({ text }) => [
        `route add ${text} dev ${device}`,
        `neighbour replace ${text} lladdr ${port.mac} dev ${device}`,
      ]),
    );
    return guest;
  }

  /** Takes a guest and its device away. */
  unplug(port: Pick<Port, 'id' | 'device'>): void {
    const name = `${this.#name}-${port.id.slice(0, 8)}`;
    this.#ipInHost([`link delete ${port.device}`]);
    removeNamespace(name);
    this.#namespaces.splice(this.#namespaces.indexOf(name), 1);
  }

  readonly remove = (): void => {
    process.off('exit', this.remove);
    for (const name of this.#namespaces.splice(0)) removeNamespace(name);
  };

  #addNamespace(suffix: string): string {
    const name = `${this.#name}-${suffix}`;
    run('ip', ['netns', 'add', name]);
    this.#namespaces.push(name);
    return name;
  }

  #inHost(program: string, ...args: readonly string[]): void {
    if (this.where === 'here') run(program, args);
    else run('ip', ['netns', 'exec', this.host, program, ...args]);
  }

  #ipInHost(commands: readonly string[]): void {
    runIp(this.where === 'here' ? undefined : this.host, commands);
  }
}

/** Commands of ip(8), in order; undefined is the namespace that we are in. */
function runIp(namespace: string | undefined, commands: readonly string[]): void {
  const where = namespace === undefined ? [] : ['-n', namespace];
  run('ip', [...where, '-batch', '-'], commands.join('\n'));
}

export function run(program: string, args: readonly string[], input = ''): string {
  const result = spawnSync(program, args, { encoding: 'utf8', input });
  if (result.status === 0) return result.stdout;
  throw new Error(
    `${program} ${args.join(' ')} ${input}: ${result.stderr.trim() || (result.error?.message ?? 'failed')}`,
  );
}

function removeNamespace(name: string): void {
  if (existsSync(`/run/netns/${name}`)) spawnSync('ip', ['netns', 'delete', name]);
}

/** Namespaces of runs that were killed. */
function removeLeftovers(prefix: string): void {
  if (!existsSync('/run/netns')) return;
  for (const name of readdirSync('/run/netns')) {
    const pid = new RegExp(`^${prefix}(\\d+)-`).exec(name)?.[1];
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) removeNamespace(name);
  }
}
