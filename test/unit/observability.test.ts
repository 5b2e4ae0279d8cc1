/** Alerts, their pages and the dashboard, as far as they can be read; that they ask for what there is: client/agent-beside-api.test.ts. */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { z } from 'zod';
import { alertRules } from '../support/alerts.js';

/** As GitHub and pandoc make it of a heading of one word. */
const anchor = (name: string): string => `docs/operations.md#${name.toLowerCase()}`;

it('each alert has its section, each such section its alert, and the alert names it', () => {
  const sections = [...readFileSync('docs/operations.md', 'utf8').matchAll(/^### (Portcullis\w+)$/gm)].map(
    ([, name]) => name,
  );
  const rules = alertRules();
  expect(rules.map(({ alert }) => alert)).toEqual(sections);
  for (const { alert, annotations } of rules) expect(annotations).toMatchObject({ runbook: anchor(alert) });
});

/** What Grafana 10's schema of a dashboard asks for, of what we use. */
const target = z.object({ datasource: z.object({}), expr: z.string().min(1), refId: z.string().regex(/^[A-Z]$/) });
const panel = z.object({
  id: z.number().int().positive(),
  type: z.enum(['row', 'stat', 'timeseries']),
  title: z.string().min(1),
  gridPos: z.object({
    x: z.number().int().min(0).max(23),
    y: z.number().int().min(0),
    w: z.number().int().min(1).max(24),
    h: z.number().int().min(1),
  }),
  targets: z.array(target).optional(),
});
const dashboard = z.object({
  uid: z.string().regex(/^[a-zA-Z0-9_-]{1,40}$/),
  title: z.string().min(1),
  schemaVersion: z.number().int().min(36),
  templating: z.object({ list: z.array(z.object({ name: z.string(), type: z.enum(['datasource', 'query']) })) }),
  panels: z.array(panel).min(1),
});

it('the dashboard is one: ids are unique, panels do not overlap, each but a row asks for something', () => {
  const { panels, templating } = dashboard.parse(JSON.parse(readFileSync('grafana/portcullis.json', 'utf8')));
  expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
  const cells = panels.flatMap(({ title, gridPos: { x, y, w, h } }) => {
    expect(x + w, title).toBeLessThanOrEqual(24);
    return Array.from({ length: w * h }, (_, cell) => `${x + (cell % w)} ${y + Math.floor(cell / w)}`);
  });
  expect(new Set(cells).size).toBe(cells.length);
  for (const { type, title, targets = [] } of panels) {
    expect(targets.length > 0, title).toBe(type !== 'row');
    expect(new Set(targets.map(({ refId }) => refId)).size).toBe(targets.length);
  }
  const variables = new Set([...templating.list.map(({ name }) => name), '__rate_interval']);
  const used = [...JSON.stringify(panels).matchAll(/\$\{?(\w+)/g)].map(([, name = '']) => name);
  expect(used.filter((name) => !variables.has(name))).toEqual([]);
});
