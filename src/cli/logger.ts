/** The log of a daemon: JSON lines on standard error; on a terminal, made readable. */
import { isatty } from 'node:tty';
import type { Logger } from 'pino';
import { say } from './output.js';

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export const logLevelOption = {
  'log-level': {
    choices: LOG_LEVELS,
    default: 'info' as const,
    describe: 'the least important events to log',
  },
} as const;

export async function makeLogger(level: LogLevel): Promise<Logger> {
  const { pino } = await import('pino');
  const isForPeople = isatty(2);
  try {
    const stream = isForPeople
      ? (await import('pino-pretty')).default({
          destination: 2,
          ignore: 'pid,hostname',
          translateTime: 'SYS:HH:MM:ss.l',
        })
      : pino.destination({ dest: 2, sync: true });
    return pino({ name: 'portcullis', level, base: null, timestamp: pino.stdTimeFunctions.isoTime }, stream);
  } catch (error) {
    say(String(error));
    throw error;
  }
}
