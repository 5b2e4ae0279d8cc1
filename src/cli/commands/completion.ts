/** `portcullis completion`: a script with which a shell completes our command line. */
import type { CommandModule } from 'yargs';
import { completionScript, SHELLS, type Shell } from '../completion-scripts.js';
import { printLine } from '../output.js';

interface CompletionArguments {
  readonly shell: Shell;
}

export const completionCommand: CommandModule<object, CompletionArguments> = {
  command: 'completion <shell>',
  describe: 'print a script with which bash, zsh or fish completes commands, options, files and ports',
  builder: (yargs) =>
    yargs
      .positional('shell', { choices: SHELLS, demandOption: true, describe: 'whose script' })
      .example('source <($0 completion bash)', 'in ~/.bashrc')
      .example('$0 completion zsh > ~/.zfunc/_portcullis', 'a folder of $fpath')
      .example('$0 completion fish > ~/.config/fish/completions/portcullis.fish', ''),
  handler: ({ shell }) => {
    printLine(completionScript(shell).trimEnd());
  },
};
