/** Containers with systemd as their first process: machines, as far as units can tell. */
import { GenericContainer, Wait, type StartedNetwork, type StartedTestContainer } from 'testcontainers';
import { patience } from '../../support/patience.js';

/** Containers get no settings of the kernel otherwise. */
class MachineContainer extends GenericContainer {
  constructor(image: string) {
    super(image);
    this.hostConfig.Sysctls = {
      'net.ipv4.ip_forward': '1',
      'net.ipv6.conf.all.disable_ipv6': '0',
      'net.ipv6.conf.default.disable_ipv6': '0',
      'net.ipv6.conf.all.forwarding': '1',
      'net.ipv6.conf.default.accept_dad': '0',
    };
  }
}

/**
 * @param files to be there before it starts
 * @param aliases by which others find it; with one, its address may not be the one that testcontainers was told first
 */
export async function startMachine(
  image: string,
  network: StartedNetwork,
  name: string,
  {
    files = [],
    aliases = [],
  }: {
    readonly files?: readonly { readonly source: string; readonly target: string }[];
    readonly aliases?: readonly string[];
  },
): Promise<StartedTestContainer> {
  return new MachineContainer(image)
    .withEntrypoint(['/lib/systemd/systemd'])
    .withCommand(['--log-target=console'])
    .withEnvironment({ container: 'docker' })
    .withHostname(name)
    .withNetwork(network)
    .withNetworkAliases(...aliases)
    .withAddedCapabilities('NET_ADMIN', 'SYS_ADMIN')
    .withSecurityOpt('seccomp=unconfined', 'apparmor=unconfined')
    .withTmpFs({ '/run': 'exec', '/tmp': '', '/run/lock': '' })
    .withBindMounts([{ source: '/sys/fs/cgroup', target: '/sys/fs/cgroup', mode: 'ro' }])
    .withCopyFilesToContainer([...files])
    .withWaitStrategy(Wait.forSuccessfulCommand('systemctl is-system-running | grep -E "running|degraded"'))
    .withStartupTimeout(patience(300_000))
    .start();
}
