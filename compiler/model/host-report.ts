/** What a host says of itself to whom it follows: whether a change is in force there. */
import { z } from 'zod';

const TEXT = z.string().max(1000);

/** What a newer agent says beyond it is left out: agents and APIs of two versions stand beside each other during an upgrade. */
export const HOST_REPORT = z.object({
  version: TEXT,
  /** The newest revision whose rules the host's kernel holds; null while there is none. */
  revision: z.int().nonnegative().nullable(),
  /** False while the kernel does not hold the policy, as far as the host knows, and in audit mode. */
  enforced: z.boolean(),
  /** Why it does not, or why the newest topology is not obeyed; null for nothing. */
  trouble: TEXT.nullable(),
  ports: z.int().nonnegative(),
  /** Ports that are closed since the kernel refuses their rules, and why; of many the first. */
  refused: z.array(z.object({ port: TEXT, why: TEXT })).max(100),
  /** Bad objects that concern the host. */
  isolated: z.int().nonnegative(),
  /** Changes to its tables by others, so far. */
  drift: z.int().nonnegative(),
});
export type HostReport = Readonly<z.infer<typeof HOST_REPORT>>;

/** A host's name, as `--host` and `binding:host_id` have it. */
export const HOST_NAME = /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,253}[A-Za-z0-9])?$/;
