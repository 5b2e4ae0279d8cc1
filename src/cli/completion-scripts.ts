/**
 * Scripts by which shells complete our command line. Each asks the program, and knows nothing of commands and options itself: the first
 * line of an answer is `files` or `words`, each other one a word and, behind a tab, what it is.
 */
export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

const SCRIPTS: Readonly<Record<Shell, string>> = {
  // Bash takes "--from=web" apart: the program is given the parts.
  bash: `# bash completion for portcullis
_portcullis() {
  local -a answer
  local line word
  COMPREPLY=()
  mapfile -t answer < <("\${COMP_WORDS[0]}" __complete "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
  if [[ \${answer[0]} == files ]]; then
    compopt -o filenames 2>/dev/null
    word=\${COMP_WORDS[COMP_CWORD]}
    [[ $word == "=" ]] && word=
    mapfile -t COMPREPLY < <(compgen -f -- "$word")
    return
  fi
  for line in "\${answer[@]:1}"; do
    printf -v word %q "\${line%%$'\\t'*}"
    COMPREPLY+=("$word")
  done
  # An option that ends in ":" or "=" is not yet whole.
  [[ \${#COMPREPLY[@]} == 1 && \${COMPREPLY[0]} == *[:=] ]] && compopt -o nospace 2>/dev/null
  return 0
}
complete -F _portcullis portcullis
`,
  zsh: `#compdef portcullis
_portcullis() {
  local -a answer described
  local line
  answer=("\${(@f)$(\${words[1]} __complete "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ $answer[1] == files ]]; then
    _files
    return
  fi
  for line in "\${(@)answer[2,-1]}"; do
    described+=("\${\${line%%$'\\t'*}//:/\\\\:}:\${line#*$'\\t'}")
  done
  _describe portcullis described
}
if [[ $funcstack[1] == _portcullis ]]; then
  _portcullis "$@"
else
  compdef _portcullis portcullis
fi
`,
  fish: `# fish completion for portcullis
function __portcullis_complete
  set -l words (commandline -opc) (commandline -ct)
  set -l answer ($words[1] __complete $words[2..-1] 2>/dev/null)
  if test "$answer[1]" = files
    __fish_complete_path (commandline -ct)
  else
    printf '%s\\n' $answer[2..-1]
  end
end
complete -c portcullis -f -a '(__portcullis_complete)'
`,
};

export function completionScript(shell: Shell): string {
  return SCRIPTS[shell];
}
