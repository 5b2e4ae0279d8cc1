/** What this process and the agent may do, and who else may read what is secret. */
import { failed, ok, warning, type Finding } from './finding.js';

/** CAP_NET_ADMIN of linux/capability.h. */
const NET_ADMIN = 1n << 12n;

export interface RightsFacts {
  /** Effective capabilities of this process. */
  readonly capabilities: bigint;
  /** Where sockets and locks are; undefined where it is made by whoever starts first. */
  readonly folder: { readonly path: string; readonly owner: number; readonly mode: number } | undefined;
  /** Where the status socket goes, when it cannot be made there: errno of the folder. */
  readonly unwritable: { readonly path: string; readonly why: string } | undefined;
  /** Files that the agent's options name as secret, with why they are not. */
  readonly exposed: readonly { readonly path: string; readonly why: string }[];
}

/** Of /proc/self/status. */
export function capabilitiesIn(status: string): bigint {
  const hex = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1];
  if (hex === undefined) throw new Error('the kernel does not say which capabilities this process has');
  return BigInt(`0x${hex}`);
}

/** Options whose value is a file that nobody else may read. */
const SECRETS = ['--source-token', '--etcd-key', '--etcd-password', '--neutron-bus', '--tls-key', '--agent-token'];

/** Of /proc/PID/cmdline: its words end with zeros. */
export function secretsIn(cmdline: string): readonly string[] {
  const words = cmdline.split('\0');
  return words.flatMap((word, index) => {
    const [option = '', value] = word.split('=', 2);
    if (!SECRETS.includes(option)) return [];
    return [value ?? words[index + 1] ?? []].flat();
  });
}

export function judgeRights({ capabilities, folder, unwritable, exposed }: RightsFacts): readonly Finding[] {
  const findings: Finding[] = [];
  if ((capabilities & NET_ADMIN) === 0n) {
    findings.push(
      failed(
        'this process lacks CAP_NET_ADMIN: it may not read nor change the firewall',
        'run it as root; in a container --cap-add NET_ADMIN',
      ),
    );
  }
  if (folder !== undefined && (folder.owner !== 0 || (folder.mode & 0o022) !== 0)) {
    findings.push(
      failed(
        `others than root may write to ${folder.path}: the agent does not begin`,
        `chown root ${folder.path} && chmod 755 ${folder.path}`,
      ),
    );
  }
  if (unwritable !== undefined) {
    const { path, why } = unwritable;
    findings.push(warning(`no status socket can be made in ${path}: ${why}`, 'another --socket, or make it writable'));
  }
  for (const { path, why } of exposed) findings.push(warning(`${path}: ${why}`, `chmod 600 ${path}`));
  return findings.length > 0
    ? findings
    : [ok('CAP_NET_ADMIN is there, and nobody else may write where the agent does')];
}
