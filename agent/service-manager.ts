/**
 * Talks to systemd (sd_notify(3)) by its own program: Node has no datagram sockets in the unix family. Without
 * NOTIFY_SOCKET nothing is said.
 */
import { runProgram } from './kernel/program.js';

export async function notify(...words: readonly string[]): Promise<void> {
  if (process.env['NOTIFY_SOCKET'] === undefined) return;
  await runProgram('systemd-notify', [`--pid=${process.pid.toString()}`, ...words]);
}

/** Says that we live, as often as systemd asks (WATCHDOG_USEC), while `isWell` holds. */
export function startWatchdog(isWell: () => boolean): () => void {
  const microseconds = Number(process.env['WATCHDOG_USEC'] ?? '0');
  if (!(microseconds > 0)) return () => undefined;
  // Thrice in the time that is given: one may be late.
  const timer = setInterval(() => {
    if (isWell()) void notify('WATCHDOG=1');
  }, microseconds / 3000);
  timer.unref();
  return () => {
    clearInterval(timer);
  };
}
