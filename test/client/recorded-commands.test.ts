/** Every command that was recorded of the stock client against a real Neutron, against API, store and agent in one process. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ADMIN, cells, Cloud, DEMO, NOBODY, USERS, type Environment } from './cloud.js';
import { NO_AUTH_COMMANDS, PASSWORD_COMMANDS, type Command } from './commands.js';

async function runAll(
  cloud: Cloud,
  commands: readonly Command[],
  envOf: (command: Command) => Environment,
): Promise<void> {
  const kept = new Map<string, string>();
  for (const command of commands) {
    const line = command.line.replace(/\$([A-Z]+)/g, (_all, name: string) => kept.get(name) ?? '');
    const { exit, out, err } = await cloud.openstack(line, envOf(command));
    const failure = `${line}\n${out}${err}\nthe product said last:\n${cloud.said()}\n`;
    expect(exit, failure).toBe(command.exit ?? 0);
    if (command.keep !== undefined) kept.set(command.keep, (JSON.parse(out) as { readonly id: string }).id);
    if (command.says !== undefined) expect(`${out}${err}`, failure).toContain(command.says);
    if (command.columns !== undefined) expect(cells(out)[0], failure).toEqual(command.columns);
    if (command.fields !== undefined)
      expect(
        cells(out).map(([name]) => name),
        failure,
      ).toEqual(expect.arrayContaining([...command.fields]));
  }
}

// No limit to the whole: each command has its own.
describe('without authentication', () => {
  let cloud: Cloud;
  beforeAll(async () => {
    cloud = new Cloud();
    await cloud.start();
  }, 0);
  afterAll(async () => cloud.end(), 0);

  it('every recorded command ends as it did against Neutron', async () => {
    await runAll(cloud, NO_AUTH_COMMANDS, () => NOBODY);
  });

  it('the program as a person starts it answers what the client that stays does', async () => {
    for (const line of [
      'openstack security group list --sort-column Name',
      'openstack security group show web -f json',
      'openstack security group show nosuch',
      `openstack security group create --description 'two  words, "quoted"' "it's" -f value -c description -c name`,
    ]) {
      const [typed, stayed] = [await cloud.typed(line, NOBODY), await cloud.openstack(line, NOBODY)];
      expect(stayed, line).toEqual(typed);
      expect(`${typed.out}${typed.err}`, line).not.toBe('');
    }
  });
});

describe('with passwords', () => {
  let cloud: Cloud;
  beforeAll(async () => {
    cloud = new Cloud();
    writeFileSync(join(cloud.folder, 'users.yaml'), USERS, { mode: 0o600 });
    await cloud.start('--auth', `tokens:${join(cloud.folder, 'users.yaml')}`);
  }, 0);
  afterAll(async () => cloud.end(), 0);

  it('every recorded command ends as it did', async () => {
    await runAll(cloud, PASSWORD_COMMANDS, ({ isAdmin }) => (isAdmin === true ? ADMIN : DEMO));
  });
});
