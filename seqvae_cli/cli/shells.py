"""The scripts that teach a shell to complete `seqvae`, and where they go.

A script asks `seqvae` for completions by the environment variable `VARIABLE`; `completion` has the answers.
"""

from __future__ import annotations

import os
import shlex
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from seqvae_cli.errors import UsageError
from seqvae_cli.system import files

VARIABLE = "_SEQVAE_COMPLETE"
"""The environment variable that asks for completions; its value is the shell."""
FILES = "/"
"""The line of an answer that stands for files; no completion is called so."""

BASH = """\
_seqvae_completion() {
    local line files= i
    COMPREPLY=()
    while IFS= read -r line; do
        if [[ $line == / ]]; then files=1; else COMPREPLY+=("$line"); fi
    done < <(_SEQVAE_COMPLETE=bash "$1" "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
    if [[ $files && ${#COMPREPLY[@]} -gt 0 ]]; then
        while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "${COMP_WORDS[COMP_CWORD]}")
        compopt -o filenames 2>/dev/null
    else
        for i in "${!COMPREPLY[@]}"; do printf -v "COMPREPLY[i]" %q "${COMPREPLY[i]}"; done
    fi
}
complete -o default -F _seqvae_completion seqvae
"""

ZSH = """\
#compdef seqvae
_seqvae() {
    local -a lines found
    local line wanted=
    lines=("${(@f)$(_SEQVAE_COMPLETE=zsh ${(Q)words[1]} "${(@Q)words[2,CURRENT-1]}" "$PREFIX" 2>/dev/null)}")
    for line in $lines; do
        if [[ $line == / ]]; then
            wanted=1
        else
            found+=("${${line%%$'\\t'*}//:/\\\\:}:${line#*$'\\t'}")
        fi
    done
    if (( $#found )); then _describe -V seqvae found; fi
    if [[ -n $wanted ]] || (( ! $#found )); then _files; fi
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then _seqvae "$@"; else compdef _seqvae seqvae; fi
"""

FISH = """\
function __seqvae_complete
    set -l before (commandline -opc)
    set -l current (commandline -ct)
    set -l lines (env _SEQVAE_COMPLETE=fish $before "$current" 2>/dev/null)
    for line in $lines
        test "$line" = /; or echo $line
    end
    if test (count $lines) -eq 0; or contains / $lines
        __fish_complete_path "$current"
    end
end
complete --command seqvae --no-files --keep-order --arguments '(__seqvae_complete)'
"""


@dataclass(frozen=True)
class Shell:
    """How a shell learns to complete."""

    script: str
    folder: str
    """Where the script goes, below the home of the user."""
    file: str
    advice: str = ""
    """The line of its settings that loads the script; empty where it finds the script by itself."""

    def path(self) -> Path:
        return Path(self.folder).expanduser() / self.file


SHELLS = {
    "bash": Shell(BASH, "~/.bash_completions", "seqvae.sh", "source {path}   # in ~/.bashrc"),
    "zsh": Shell(ZSH, "~/.zfunc", "_seqvae", "fpath+=({folder}); autoload -Uz compinit; compinit   # in ~/.zshrc"),
    "fish": Shell(FISH, "~/.config/fish/completions", "seqvae.fish"),
}


def shell_at_hand() -> str:
    """The shell that runs this program, else that of SHELL. Raises `UsageError` where neither is one of `SHELLS`."""
    import shellingham

    found = [Path(os.environ.get("SHELL", "")).name]
    with suppress(shellingham.ShellDetectionFailure):
        found.insert(0, str(shellingham.detect_shell()[0]))
    for name in found:
        if name in SHELLS:
            return name
    raise UsageError(f"no completion for the shell {found[0] or 'here'!r}", f"call it in one of {', '.join(SHELLS)}")


def install() -> tuple[Path, str]:
    """Writes the script of the shell at hand; returns its path, and what to add to the shell's settings, if anything.

    Raises `UsageError` for another shell, `MachineError`.
    """
    shell = SHELLS[shell_at_hand()]
    path = shell.path()
    files.write(path, shell.script.encode())
    return path, shell.advice.format(path=shlex.quote(str(path)), folder=shlex.quote(str(path.parent)))
