# Completion of portcullis in fish: what the program itself says would come next.
complete --command portcullis --no-files --arguments '(
  portcullis --get-yargs-completions (commandline --tokenize --cut-at-cursor) (commandline --current-token --cut-at-cursor)
    | string replace --regex ":.*" ""
)'
