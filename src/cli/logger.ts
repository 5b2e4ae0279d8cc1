/** The log of a daemon: JSON lines on standard error; on a terminal, made readable. */
import { Writable } from 'node:stream';
import { fstatSync } from 'node:fs';
import { isatty } from 'node:tty';
import type { Logger } from 'pino';
import { priorityOf } from '../../agent/log.js';
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
  const { LogSink } = await import('../system/log-sink.js');
  const isForPeople = isatty(2);
  try {
    const sink = isJournal(2) ? new LogSink(2, priorityOf) : new LogSink(2);
    const stream = isForPeople
      ? (await import('pino-pretty')).default({
          destination: new Writable({
            write: (chunk: Buffer, _encoding, done) => {
              sink.write(chunk.toString());
              done();
            },
          }),
          colorize: true,
          ignore: 'pid,hostname',
          translateTime: 'SYS:HH:MM:ss.l',
        })
      : sink;
    return pino({ name: 'portcullis', level, base: null, timestamp: pino.stdTimeFunctions.isoTime }, stream);
  } catch (error) {
    say(String(error));
    throw error;
  }
}

/** True where the journal reads it, which takes priorities before lines (systemd.exec(5), JOURNAL_STREAM and SyslogLevelPrefix=). */
function isJournal(descriptor: number): boolean {
  const { dev, ino } = fstatSync(descriptor, { bigint: true });
  return process.env['JOURNAL_STREAM'] === `${dev.toString()}:${ino.toString()}`;
}
