/** The rules for alerts that are shipped, and what promtool makes of them with the series of a real scrape. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { parse } from 'yaml';
import { z } from 'zod';

const RULES = 'prometheus/portcullis.rules.yml';
const CACHE = 'node_modules/.cache/portcullis';

const rulesFile = z.object({
  groups: z.array(
    z.object({
      rules: z.array(
        z.object({
          alert: z.string(),
          expr: z.string(),
          labels: z.record(z.string(), z.string()),
          annotations: z.record(z.string(), z.string()),
        }),
      ),
    }),
  ),
});
export type AlertRule = z.infer<typeof rulesFile>['groups'][number]['rules'][number];

export function alertRules(): readonly AlertRule[] {
  return rulesFile.parse(parse(readFileSync(RULES, 'utf8'))).groups.flatMap(({ rules }) => rules);
}

/** One sample of a scrape. */
export interface Sample {
  readonly name: string;
  /** As it is written: `{way="changes"}`, or nothing. */
  readonly labels: string;
  readonly value: string;
}

export function samplesOf(scrape: string): readonly Sample[] {
  return scrape.split('\n').flatMap((line) => {
    const [, name, labels = '', value] = /^([a-zA-Z_:][\w:]*)(\{.*\})? (\S+)$/.exec(line) ?? [];
    return name === undefined || value === undefined ? [] : [{ name, labels, value }];
  });
}

/** Values of a series, one a minute: `[0, 10], [1, 30]` is ten times 0 and then 30 times 1; `[0, 3, 5]` is 0, 5, 10. */
export type Course = readonly (readonly [value: number | string, minutes: number, growth?: number])[];

/** Of what happens on a host: what series, by name and labels, do instead of staying as they were scraped. */
export interface Event {
  readonly alert: string;
  readonly job: string;
  readonly series: Readonly<Record<string, Course>>;
  /** Minutes at which the alert is not there yet, and is there. */
  readonly quietAt: number;
  readonly firesAt: number;
}

export class Promtool {
  readonly #folder = mkdtempSync(join(tmpdir(), 'portcullis-promtool-'));
  readonly #program = join(
    execFileSync(process.execPath, ['scripts/promtool.mjs', CACHE], { encoding: 'utf8' }).trim(),
    'promtool',
  );

  /** @returns what it said, where it is not content. */
  async check(): Promise<string> {
    return this.#run('check', 'rules', RULES);
  }

  /**
   * Tries the rules: with what was scraped, unchanged, no alert fires; with each event the alert that it is for does, and not before it.
   * @param scrapes by job.
   */
  async test(scrapes: Readonly<Record<string, readonly Sample[]>>, events: readonly Event[]): Promise<string> {
    const rules = alertRules();
    const quiet = {
      interval: '1m',
      input_series: this.#series(scrapes),
      alert_rule_test: rules.map(({ alert }) => none(alert, 120)),
    };
    const tests = events.map((event) => ({
      interval: '1m',
      input_series: this.#series(scrapes, event),
      alert_rule_test: [none(event.alert, event.quietAt), this.#fires(rules, event)],
    }));
    const file = join(this.#folder, 'test.json');
    // JSON is YAML.
    const whole = { rule_files: [join(process.cwd(), RULES)], evaluation_interval: '1m', tests: [quiet, ...tests] };
    writeFileSync(file, JSON.stringify(whole));
    return this.#run('test', 'rules', file);
  }

  end(): void {
    rmSync(this.#folder, { recursive: true });
  }

  #series(scrapes: Readonly<Record<string, readonly Sample[]>>, event?: Event): readonly object[] {
    const courses = new Map(Object.entries(event?.series ?? {}));
    const series = Object.entries(scrapes).flatMap(([job, samples]) =>
      [...samples, { name: 'up', labels: '', value: '1' }].map(({ name, labels, value }) => {
        const own = job === event?.job ? courses.get(`${name}${labels}`) : undefined;
        if (own !== undefined) courses.delete(`${name}${labels}`);
        const inner = labels === '' ? '' : `${labels.slice(1, -1)},`;
        return {
          series: `${name}{${inner}instance="compute-1",job="${job}"}`,
          values: valuesOf(own ?? [[value, 121]]),
        };
      }),
    );
    if (courses.size > 0) throw new Error(`no such series was scraped: ${[...courses.keys()].join(', ')}`);
    return series;
  }

  #fires(rules: readonly AlertRule[], { alert, job, firesAt, series }: Event): object {
    const rule = rules.find((one) => one.alert === alert);
    if (rule === undefined) throw new Error(`no such alert: ${alert}`);
    // Where a rule sums nothing up, the labels of its series are the alert's, too.
    const own = rule.expr.startsWith('sum') ? {} : labelsOf(Object.keys(series)[0] ?? '');
    const exp_labels = { ...rule.labels, ...own, instance: 'compute-1', job };
    return {
      eval_time: `${firesAt.toString()}m`,
      alertname: alert,
      exp_alerts: [{ exp_labels, exp_annotations: rule.annotations }],
    };
  }

  async #run(...args: readonly string[]): Promise<string> {
    const { exitCode, all } = await execa(this.#program, args, { reject: false, all: true });
    return exitCode === 0 ? '' : all;
  }
}

function none(alert: string, minute: number): object {
  return { eval_time: `${minute.toString()}m`, alertname: alert, exp_alerts: [] };
}

/** In promtool's words: `1+0x9` is ten times 1. */
function valuesOf(course: Course): string {
  return course
    .map(([value, minutes, growth = 0]) => `${value.toString()}+${growth.toString()}x${(minutes - 1).toString()}`)
    .join(' ');
}

function labelsOf(series: string): Readonly<Record<string, string>> {
  return Object.fromEntries([...series.matchAll(/(\w+)="([^"]*)"/g)].map(([, name = '', value = '']) => [name, value]));
}
