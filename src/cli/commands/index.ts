/** The commands, in the order in which help lists them. Each is loaded when it is asked for: it brings its libraries along. */
import type { Argv } from 'yargs';

type Register = (parser: Argv) => Promise<Argv>;

const COMMANDS: Readonly<Record<string, Register>> = {
  compile: async (parser) => parser.command((await import('./compile-command.js')).compileCommand),
  diff: async (parser) => parser.command((await import('./diff-command.js')).diffCommand),
  check: async (parser) => parser.command((await import('./check-command.js')).checkCommand),
  explain: async (parser) => parser.command((await import('./explain-command.js')).explainCommand),
  agent: async (parser) => parser.command((await import('./agent.js')).agentCommand),
  api: async (parser) => parser.command((await import('./api.js')).apiCommand),
  import: async (parser) => parser.command((await import('./import.js')).importCommand),
  export: async (parser) => parser.command((await import('./export.js')).exportCommand),
  backup: async (parser) => parser.command((await import('./backup.js')).backupCommand),
  restore: async (parser) => parser.command((await import('./backup.js')).restoreCommand),
  status: async (parser) => parser.command((await import('./status.js')).statusCommand),
  doctor: async (parser) => parser.command((await import('./doctor-command.js')).doctorCommand),
  hosts: async (parser) => parser.command((await import('./hosts.js')).hostsCommand),
  wait: async (parser) => parser.command((await import('./wait.js')).waitCommand),
  accept: async (parser) => parser.command((await import('./accept.js')).acceptCommand),
  release: async (parser) => parser.command((await import('./release.js')).releaseCommand),
  stats: async (parser) => parser.command((await import('./stats.js')).statsCommand),
  flush: async (parser) => parser.command((await import('./flush.js')).flushCommand),
  baseline: async (parser) => parser.command((await import('./baseline.js')).baselineCommand),
  completion: async (parser) => parser.command((await import('./completion.js')).completionCommand),
};

export const COMMAND_NAMES: readonly string[] = Object.keys(COMMANDS);

/** Makes a command known to a parser; all of them where none is named, as for help. */
export async function registerCommands(parser: Argv, name: string | undefined): Promise<Argv> {
  const named = name !== undefined && Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  const wanted = named === undefined ? Object.values(COMMANDS) : [named];
  let registered = parser;
  for (const register of wanted) registered = await register(registered);
  return registered;
}
